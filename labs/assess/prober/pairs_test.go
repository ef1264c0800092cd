package prober

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	diagnosis "github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/workload/probe"
)

// What a node cannot send is said once of each pair, and is no reason to try what another pair has tried.
func TestObserveTunnelThatCannotBeSent(t *testing.T) {
	m, site := newModel("a", "b")
	m.refuse = func(from string, p probe.Probe) error {
		if from == "b" && p.Kind == probe.KindGeneve && p.Frontend.IsValid() {
			return errors.New("no buffer space available")
		}
		return nil
	}
	o := m.observe(t, site)
	for _, p := range o.Tunnel {
		assert.Equal(t, "a", p.From)
	}
	assert.Equal(t, []diagnosis.Unread{{Node: "b", What: "probe to a", Why: "no buffer space available"}}, o.Unread)
}

// Without a VIP it is found out all the same what keeps a node from sending with another's address: whether packets for addresses of no
// host reach a node tells a source check from a list of the port's addresses.
func TestObserveWithoutVIP(t *testing.T) {
	for name, c := range map[string]struct {
		lose func(m *model, from, to string, p probe.Probe) bool
		want []string
	}{
		"healthy": {func(*model, string, string, probe.Probe) bool { return false }, []string{}},
		"source check": {func(m *model, from, to string, p probe.Probe) bool {
			foreign := p.Source.Addr() != m.machines[from].address || p.NextHop.IsValid() && p.Destination.Addr() != p.NextHop
			return foreign && (from != "client" || to != "client")
		}, []string{"source-check"}},
		"port security": {func(m *model, from, _ string, p probe.Probe) bool { return p.Source.Addr() != m.machines[from].address }, []string{"port-security"}},
	} {
		t.Run(name, func(t *testing.T) {
			m, site := newModel("a", "b", "c")
			m.lose = func(from, to string, p probe.Probe) bool { return c.lose(m, from, to, p) }
			site.VIPs, site.Frontends, site.Services = nil, nil, nil
			for _, n := range site.Nodes {
				site.Frontends = append(site.Frontends, diagnosis.Frontend{Kind: diagnosis.NodeAddress, Node: n.Name,
					Address: netip.AddrPortFrom(n.Addresses[0].Addr(), probe.FirstPort)})
			}
			r := diagnosis.Diagnose(*m.observe(t, site))
			assert.Equal(t, c.want, causes(r))
			if len(c.want) == 0 {
				assert.Equal(t, diagnosis.Works, r.Verdict, r.Unknown)
			}
		})
	}
}
