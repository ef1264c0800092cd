package assess

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// faults are the causes that a fabric can be given.
func faults() []Cause {
	var all []Cause
	for _, info := range Causes() {
		if info.Cause != SourceFilter { // what is left where no other kind fits
			all = append(all, info.Cause)
		}
	}
	return all
}

// found are the causes in a report; those that the evidence does not tell apart are joined.
func found(r Report) []Cause {
	var all []Cause
	for _, f := range r.Findings {
		all = append(all, joined(f.Causes))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func TestDiagnoseHealthy(t *testing.T) {
	r := Diagnose(fabric{}.observe())
	assert.Empty(t, r.Findings)
	assert.Empty(t, r.Unknown)
	assert.Equal(t, Works, r.Verdict)
	require.Len(t, r.Pairs, 6)
	for _, p := range r.Pairs {
		assert.Equal(t, Works, p.Verdict, "%v: %v", p.Pair, p.Why)
	}
	require.Len(t, r.Services, 1)
	assert.Equal(t, Works, r.Services[0].Verdict, r.Services[0].Why)
}

func TestDiagnoseOneFault(t *testing.T) {
	for _, cause := range faults() {
		t.Run(string(cause), func(t *testing.T) {
			r := Diagnose(fabric{cause: true}.observe())
			assert.Equal(t, []Cause{cause}, found(r))
			require.NotEmpty(t, r.Findings)
			assert.Equal(t, cause.Info().Verdict, r.Verdict)
			for _, f := range r.Findings {
				assert.True(t, f.Certain, "%v", f.Causes)
				assert.NotEmpty(t, f.Evidence)
				assert.NotEmpty(t, f.Where())
				assert.NotEmpty(t, f.Consequence)
				assert.NotEmpty(t, f.Remedy)
				assert.NotEmpty(t, f.Families)
				assert.GreaterOrEqual(t, f.Hurts.rank(), 0)
			}
		})
	}
}

// hides says which faults cannot be seen where another is: nothing gets far enough to meet them.
func hides(first, second Cause) bool {
	hidden := map[Cause][]Cause{
		ClientUnreachable: {SourceCheck, PortSecurity, URPF, NodeFilter, StatefulFirewall, ConntrackInvalid},
		NodeFilter:        {SourceCheck, PortSecurity, URPF, RPFilter},
		SourceCheck:       {PortSecurity, URPF, RPFilter},
		PortSecurity:      {URPF, RPFilter},
		ConntrackInvalid:  {StatefulFirewall},
		NodesApart:        {GeneveBlocked, OptionDropped, MTUTooSmall, VLANOverhead, MTUMixed, ChecksumOffload},
		GeneveBlocked:     {OptionDropped, ChecksumOffload},
		MTUTooSmall:       {VLANOverhead}, // both together are a limit that is neither
	}
	return slices.Contains(hidden[first], second)
}

func TestDiagnosePairsOfFaults(t *testing.T) {
	all := faults()
	for i, first := range all {
		for _, second := range all[i+1:] {
			t.Run(fmt.Sprint(first, " and ", second), func(t *testing.T) {
				want := []Cause{first, second}
				if hides(first, second) {
					want = want[:1]
				} else if hides(second, first) {
					want = want[1:]
				}
				slices.Sort(want)
				assert.Equal(t, want, found(Diagnose(fabric{first: true, second: true}.observe())))
			})
		}
	}
}

// shuffle puts everything in another order.
func shuffle(r *rand.Rand, o *Observations) {
	r.Shuffle(len(o.Nodes), func(i, k int) { o.Nodes[i], o.Nodes[k] = o.Nodes[k], o.Nodes[i] })
	r.Shuffle(len(o.Spoof), func(i, k int) { o.Spoof[i], o.Spoof[k] = o.Spoof[k], o.Spoof[i] })
	r.Shuffle(len(o.Direct), func(i, k int) { o.Direct[i], o.Direct[k] = o.Direct[k], o.Direct[i] })
	r.Shuffle(len(o.Tunnel), func(i, k int) { o.Tunnel[i], o.Tunnel[k] = o.Tunnel[k], o.Tunnel[i] })
	r.Shuffle(len(o.WayIn), func(i, k int) { o.WayIn[i], o.WayIn[k] = o.WayIn[k], o.WayIn[i] })
	r.Shuffle(len(o.WayBack), func(i, k int) { o.WayBack[i], o.WayBack[k] = o.WayBack[k], o.WayBack[i] })
}

// thin leaves each probe out with a chance.
func thin(r *rand.Rand, o *Observations, chance float64) {
	o.Spoof = slices.DeleteFunc(o.Spoof, func(SpoofProbe) bool { return r.Float64() < chance })
	o.Direct = slices.DeleteFunc(o.Direct, func(DirectProbe) bool { return r.Float64() < chance })
	o.Tunnel = slices.DeleteFunc(o.Tunnel, func(TunnelProbe) bool { return r.Float64() < chance })
	o.WayIn = slices.DeleteFunc(o.WayIn, func(WayInProbe) bool { return r.Float64() < chance })
	o.WayBack = slices.DeleteFunc(o.WayBack, func(WayBackProbe) bool { return r.Float64() < chance })
	for i := range o.Spoof {
		if r.Float64() < chance/2 {
			o.Spoof[i].Left = nil
		}
	}
}

func TestDiagnoseInAnyOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 1))
	for _, f := range []fabric{{}, {URPF: true, VLANOverhead: true}, {SourceCheck: true, DNATLoadBalancer: true}, {StatefulFirewall: true, MTUMixed: true}} {
		want := Diagnose(f.observe())
		for range 20 {
			o := f.observe()
			shuffle(r, &o)
			assert.Equal(t, want, Diagnose(o))
		}
	}
}

// What is missing leads to no finding on a healthy network, and to no wrong one on another: the true cause is among those that a finding names.
func TestDiagnoseWithProbesMissing(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 2))
	for _, cause := range append(faults(), "") {
		for n := range 60 {
			f := fabric{}
			if cause != "" {
				f[cause] = true
			}
			o := f.observe()
			thin(r, &o, float64(n)/60)
			for _, finding := range Diagnose(o).Findings {
				require.NotEmpty(t, cause, "healthy: %v: %v", finding.Causes, finding.Evidence)
				require.Contains(t, finding.Causes, cause, "%v", finding.Evidence)
			}
		}
	}
}

// The same with two faults: each finding names one of them.
func TestDiagnosePairsWithProbesMissing(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 3))
	all := faults()
	for i, first := range all {
		for _, second := range all[i+1:] {
			for range 5 {
				o := fabric{first: true, second: true}.observe()
				thin(r, &o, r.Float64())
				for _, f := range Diagnose(o).Findings {
					right := slices.Contains(f.Causes, first) || slices.Contains(f.Causes, second)
					require.True(t, right, "%v and %v: %v: %v", first, second, f.Causes, f.Evidence)
				}
			}
		}
	}
}

// Without a kind of probes nothing is said to work.
func TestDiagnoseWithoutAKindOfProbe(t *testing.T) {
	for name, without := range map[string]func(*Observations){
		"all":    func(o *Observations) { *o = Observations{Nodes: o.Nodes, Client: o.Client} },
		"nodes":  func(o *Observations) { o.Nodes = nil },
		"client": func(o *Observations) { o.Client = Client{} },
		"spoof":  func(o *Observations) { o.Spoof = nil },
		"own sources": func(o *Observations) {
			o.Spoof = slices.DeleteFunc(o.Spoof, func(p SpoofProbe) bool { return p.Kind == SourceOwn })
		},
		"IPv6 sources": func(o *Observations) {
			o.Spoof = slices.DeleteFunc(o.Spoof, func(p SpoofProbe) bool { return p.Source.Is6() })
		},
		"VIPs as source": func(o *Observations) {
			o.Spoof = slices.DeleteFunc(o.Spoof, func(p SpoofProbe) bool { return p.Kind == SourceVIP })
		},
		"SYN-ACKs": func(o *Observations) {
			o.WayBack = nil
			o.Spoof = slices.DeleteFunc(o.Spoof, func(p SpoofProbe) bool { return p.Protocol == SYNACK })
		},
		"tunnel": func(o *Observations) { o.Tunnel = nil },
		"options": func(o *Observations) {
			o.Tunnel = slices.DeleteFunc(o.Tunnel, func(p TunnelProbe) bool { return p.Option })
		},
		"one direction": func(o *Observations) {
			o.Tunnel = slices.DeleteFunc(o.Tunnel, func(p TunnelProbe) bool { return p.From == "a" && p.To == "b" })
		},
		"large packets": func(o *Observations) {
			o.Tunnel = slices.DeleteFunc(o.Tunnel, func(p TunnelProbe) bool { return p.Size > 1400 })
		},
		"way in": func(o *Observations) { o.WayIn = nil },
		"sightings": func(o *Observations) {
			for i := range o.WayIn {
				o.WayIn[i].Seen = nil
			}
		},
		"packets": func(o *Observations) { // as if one of each had been sent, and got lost
			for i := range o.Spoof {
				o.Spoof[i].Sent, o.Spoof[i].Arrived = 1, 0
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := fabric{}.observe()
			without(&o)
			r := Diagnose(o)
			assert.Empty(t, r.Findings)
			assert.Equal(t, NotKnown, r.Verdict)
			assert.NotEmpty(t, r.Unknown)
		})
	}
}

// Where the evidence does not tell causes apart a finding names them all.
func TestDiagnoseNamesWhatItCannotTellApart(t *testing.T) {
	noDirect := func(o *Observations) { o.Direct = nil }
	for _, c := range []struct {
		name    string
		fabric  fabric
		without func(*Observations)
		want    []Cause
	}{
		{"source check or port security", fabric{SourceCheck: true}, noDirect, []Cause{"source-check or port-security"}},
		{"or a router", fabric{PortSecurity: true}, func(o *Observations) {
			noDirect(o)
			o.Spoof = slices.DeleteFunc(o.Spoof, func(p SpoofProbe) bool { return p.Kind == SourceOtherNode })
		}, []Cause{"source-check or port-security or urpf"}},
		{"in the node or behind it", fabric{ConntrackInvalid: true}, func(o *Observations) {
			for i := range o.Spoof {
				o.Spoof[i].Left = nil
			}
		}, []Cause{"stateful-firewall or conntrack-invalid"}},
		{"Geneve or everything", fabric{GeneveBlocked: true}, func(o *Observations) {
			o.Tunnel = slices.DeleteFunc(o.Tunnel, func(p TunnelProbe) bool { return p.Port != GenevePort })
		}, []Cause{"geneve-blocked or nodes-apart"}},
		{"sizes far apart", fabric{VLANOverhead: true}, func(o *Observations) {
			o.Tunnel = slices.DeleteFunc(o.Tunnel, func(p TunnelProbe) bool { return p.Size > 1400 && p.Size < 1500 })
		}, []Cause{"mtu-too-small or vlan-overhead"}},
		{"no filter known", fabric{RPFilter: true}, func(o *Observations) {
			for i := range o.Nodes {
				o.Nodes[i].ReversePath = nil
			}
		}, []Cause{"rp-filter or node-filter"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := c.fabric.observe()
			c.without(&o)
			assert.Equal(t, c.want, found(Diagnose(o)))
		})
	}
}

// A rule of a node that drops what connection tracking does not know is possible harm, as probes go around it; where nothing of the node
// reaches the client there is no need to say so.
func TestDiagnoseRuleOfNode(t *testing.T) {
	withRule := func(f fabric) Report {
		o := f.observe()
		drops := true
		o.Nodes[1].DropsInvalid = &drops
		return Diagnose(o)
	}
	r := withRule(fabric{})
	require.Len(t, r.Findings, 1)
	f := r.Findings[0]
	assert.Equal(t, []Cause{ConntrackInvalid}, f.Causes)
	assert.False(t, f.Certain)
	assert.Equal(t, []string{"b"}, f.Nodes)
	assert.Equal(t, []string{"IPv4", "IPv6"}, f.Families)
	require.Len(t, f.Evidence, 1)
	assert.Equal(t, "b: a rule of the node drops packets of connections that it does not know; it matters if the data path hands pods' "+
		"replies to netfilter; one of eBPF programs alone does not", f.Evidence[0].String())
	assert.Equal(t, NotKnown, r.Verdict)
	r = withRule(fabric{ClientUnreachable: true})
	for _, f := range r.Findings {
		assert.NotContains(t, f.Causes, ConntrackInvalid)
	}
}
