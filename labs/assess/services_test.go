package assess

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestEffects(t *testing.T) {
	web := func(change func(*Service)) (v ServiceVerdict) {
		o := fabric{}.observe()
		change(&o.Services[0])
		return Diagnose(o).Services[0]
	}
	has := func(v ServiceVerdict, field, value string) Effect {
		for _, e := range v.Effects {
			if e.Field == field && e.Value == value {
				return e
			}
		}
		require.Fail(t, "no effect", "%s %s in %v", field, value, v.Effects)
		return Effect{}
	}
	none := func(v ServiceVerdict) {
		assert.Equal(t, Unaffected, v.Verdict)
		for _, e := range v.Effects {
			assert.False(t, e.Changes, "%v", e)
		}
	}
	plain := web(func(*Service) {})
	assert.Equal(t, Works, plain.Verdict)
	assert.Contains(t, has(plain, "endpoints", "3 on 2 of 3 nodes").Effect, "67 % of requests")
	assert.True(t, has(plain, "spec.externalTrafficPolicy", "Cluster").Changes)
	assert.Contains(t, has(plain, "spec.ports", "UDP").Effect, "less than 62 bytes of the MTU (IPv6 94)")

	none(web(func(s *Service) { s.Service.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal }))
	none(web(func(s *Service) { s.Service.Spec.Type = corev1.ServiceTypeClusterIP }))
	none(web(func(s *Service) { s.Service.Spec.Type = "" }))

	assert.Contains(t, has(web(func(s *Service) { s.Service.Spec.Type = corev1.ServiceTypeNodePort }), "spec.type", "NodePort").Effect, "address of the node that was called")
	assert.False(t, has(web(func(s *Service) { s.Service.Spec.SessionAffinity = corev1.ServiceAffinityClientIP }), "spec.sessionAffinity", "ClientIP").Changes)
	assert.False(t, has(web(func(s *Service) { s.Service.Spec.LoadBalancerSourceRanges = []string{"10.0.0.0/8"} }), "spec.loadBalancerSourceRanges", "10.0.0.0/8").Changes)
	assert.True(t, has(web(func(s *Service) { s.HostNetwork = true }), "hostNetwork", "true").Changes)
	assert.False(t, has(web(func(s *Service) { s.HostPorts = []int32{8080} }), "hostPort", "[8080]").Changes)
	assert.True(t, has(web(func(s *Service) { s.Service.Spec.IPFamilies = []corev1.IPFamily{"IPv4", "IPv6"} }), "spec.ipFamilies", "dual stack").Changes)
	assert.False(t, has(web(func(s *Service) { s.Endpoints = map[string]int{"b": 0} }), "endpoints", "none").Changes)
	assert.Contains(t, has(web(func(s *Service) { s.Endpoints = nil }), "endpoints", "not known").Effect, "67 % of requests")
	assert.Contains(t, has(web(func(s *Service) { s.Endpoints = map[string]int{"not-probed": 2} }), "endpoints", "2 on 1 of 3 nodes").Effect, "67 % of requests")
	assert.False(t, has(web(func(s *Service) { s.Service.Spec.Ports[0].Protocol = corev1.ProtocolSCTP }), "spec.ports", "SCTP").Changes)
}

// A service suffers only from what is in its way.
func TestServiceVerdicts(t *testing.T) {
	verdict := func(f fabric, change func(*Observations)) ServiceVerdict {
		o := f.observe()
		change(&o)
		return Diagnose(o).Services[0]
	}
	same := func(*Observations) {}
	local := func(o *Observations) {
		o.Services[0].Service.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	}
	udp := func(o *Observations) { o.Services[0].Service.Spec.Ports = o.Services[0].Service.Spec.Ports[1:] }
	onA := func(o *Observations) { o.Services[0].Endpoints = map[string]int{"a": 1} }
	assert.Equal(t, WorksIf, verdict(fabric{SourceCheck: true}, same).Verdict)
	assert.Equal(t, []string{"source-check"}, verdict(fabric{SourceCheck: true}, same).Why)
	assert.Equal(t, Unaffected, verdict(fabric{SourceCheck: true}, local).Verdict)
	assert.Equal(t, WorksIf, verdict(fabric{StatefulFirewall: true}, same).Verdict)
	assert.Equal(t, Works, verdict(fabric{StatefulFirewall: true}, udp).Verdict, "it harms TCP")
	assert.Equal(t, WorksIf, verdict(fabric{URPF: true}, same).Verdict)
	assert.Equal(t, Works, verdict(fabric{URPF: true}, onA).Verdict, "the router lets a send with the VIP")
	assert.Equal(t, Wont, verdict(fabric{DNATLoadBalancer: true}, same).Verdict)
	nodePort := func(o *Observations) {
		o.Services[0].Service.Spec.Type, o.Services[0].Service.Status = corev1.ServiceTypeNodePort, corev1.ServiceStatus{}
	}
	assert.Equal(t, Works, verdict(fabric{DNATLoadBalancer: true}, nodePort).Verdict, "nobody calls it by a VIP")
	assert.Equal(t, Wont, verdict(fabric{NodeBehindNAT: true}, nodePort).Verdict)
}

// What a service is called by is no VIP if a node has it, probed or not: findings of NodePorts are its own, and no probe with a VIP as
// source is missed. Nor is a VIP one that only pods of the node that was called answer for.
func TestServiceCalledByNodeAddresses(t *testing.T) {
	called := func(o *Observations, texts ...string) {
		lb := &o.Services[0].Service.Status.LoadBalancer
		lb.Ingress = nil
		for _, text := range texts {
			lb.Ingress = append(lb.Ingress, corev1.LoadBalancerIngress{IP: text})
		}
	}
	for name, change := range map[string]func(*Observations){
		"a node's": func(o *Observations) { called(o, "10.1.0.1", "2001:db8:a::2") },
		"one's that has another": func(o *Observations) {
			called(o, "192.0.2.77")
			o.Nodes[1].ExternalAddresses = []netip.Addr{netip.MustParseAddr("192.0.2.77")}
		},
		"one's that was called": func(o *Observations) { called(o, "203.0.113.11") },
		"one's not probed": func(o *Observations) {
			called(o, "10.1.0.9")
			o.NodeAddresses = []netip.Addr{netip.MustParseAddr("10.1.0.9")}
		},
		"externalIPs": func(o *Observations) { called(o); o.Services[0].Service.Spec.ExternalIPs = []string{"10.1.0.1"} },
	} {
		t.Run(name, func(t *testing.T) {
			for fault, want := range map[Cause]Verdict{"": Works, NodeBehindNAT: Wont} {
				o := fabric{fault: true}.observe()
				change(&o)
				o.Spoof = slices.DeleteFunc(o.Spoof, func(p SpoofProbe) bool { return p.Kind == SourceVIP })
				o.WayIn = slices.DeleteFunc(o.WayIn, func(p WayInProbe) bool { return p.Frontend.Kind == VIP })
				if name == "one's that was called" && fault == "" {
					continue // it is the translated one
				}
				r := Diagnose(o)
				assert.Equal(t, want, r.Services[0].Verdict, "%s: %v %v", fault, r.Services[0].Why, unknowns(r))
			}
		})
	}
	o := fabric{}.observe()
	o.Services[0].Service.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	o.Spoof = slices.DeleteFunc(o.Spoof, func(p SpoofProbe) bool { return p.Kind == SourceVIP })
	o.WayIn = slices.DeleteFunc(o.WayIn, func(p WayInProbe) bool { return p.Frontend.Kind == VIP })
	r := Diagnose(o)
	assert.Equal(t, Works, r.Verdict, unknowns(r))
}

// The prediction gives back what the traffic was made of.
func TestGain(t *testing.T) {
	const q, r, packetsQ, packetsR = 2e6, 100e6, 20e3, 70e3 // of all nodes, each second
	o := fabric{}.observe()
	x := 2.0 / 3
	share := func(v float64) uint64 { return uint64(v * 10 / 3) } // of one of three nodes, in 10 seconds
	for _, n := range o.Nodes {
		o.Counters = append(o.Counters, Counters{
			Node: n.Name, Interval: metav1.Duration{Duration: 10 * time.Second},
			BytesIn: share(q + x*(q+r)), BytesOut: share(r + x*(q+r)), PacketsIn: share(packetsQ + x*(packetsQ+packetsR)), PacketsOut: share(packetsR + x*(packetsQ+packetsR)),
		})
	}
	g := Diagnose(o).Gain
	require.NotNil(t, g)
	assert.InEpsilon(t, q, g.Requests, 1e-5)
	assert.InEpsilon(t, r, g.Replies, 1e-5)
	assert.InEpsilon(t, (q+x*(q+r))/3, g.Now.BytesIn, 1e-5)
	header := x * packetsQ * 50
	assert.InEpsilon(t, (q+x*q+header)/3, g.DSR.BytesIn, 1e-5, "requests, and those that cross, in Geneve")
	assert.InEpsilon(t, (r+x*q+header)/3, g.DSR.BytesOut, 1e-5)
	assert.InEpsilon(t, (packetsR+x*packetsQ)/3, g.DSR.PacketsOut, 1e-5)
	assert.InEpsilon(t, 1e9/(8*(r+x*(q+r)+24*(packetsR+x*(packetsQ+packetsR)))/3), g.FullNow, 1e-5)
	assert.Greater(t, g.FullDSR, g.FullNow)

	o.Counters = o.Counters[1:]
	assert.Nil(t, Diagnose(o).Gain, "not of every node")
	o.Counters = nil
	assert.Nil(t, Diagnose(o).Gain)
	for _, n := range o.Nodes {
		o.Counters = append(o.Counters, Counters{Node: n.Name, Interval: metav1.Duration{Duration: time.Second}, BytesIn: 1, BytesOut: 1e9, PacketsIn: 1, PacketsOut: 1e6})
	}
	assert.Nil(t, Diagnose(o).Gain, "more goes out than comes in and calls could cause")
}
