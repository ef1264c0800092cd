package assess

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// unknowns are what a report does not know, in words.
func unknowns(r Report) []string {
	var all []string
	for _, u := range r.Unknown {
		all = append(all, u.String())
	}
	return all
}

// A pair of nodes whose connections were too few, or mostly lost, is not said to work.
func TestDiagnoseConnectionsOfAPairNotKnown(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*WayBackProbe)
		want   string
	}{
		"not tried":    {func(p *WayBackProbe) { *p = WayBackProbe{} }, "a → b: whether TCP connections begin over IPv4 (SYN-ACKs: not tried)"},
		"two":          {func(p *WayBackProbe) { p.Opened, p.SYNs, p.SYNACKs = 2, 2, 2 }, "a → b: whether TCP connections begin over IPv4 (SYN-ACKs: 2 sent, 2 arrived)"},
		"SYN-ACKs":     {func(p *WayBackProbe) { p.SYNACKs, p.DataBefore, p.DataAfter, p.AnswersAfter = 1, 1, 1, 1 }, "a → b: whether TCP connections begin over IPv4 (SYN-ACKs: 5 sent, 1 arrived)"},
		"first data":   {func(p *WayBackProbe) { p.DataBefore, p.DataAfter, p.AnswersAfter = 1, 1, 1 }, "a → b: whether TCP connections last over IPv4 (5 sent, 1 arrived)"},
		"data":         {func(p *WayBackProbe) { p.DataAfter, p.AnswersAfter = 1, 1 }, "a → b: whether TCP connections last over IPv4 (5 sent, 1 arrived)"},
		"did not rest": {func(p *WayBackProbe) { p.Idle.Duration, p.DataAfter, p.AnswersAfter = 0, 0, 0 }, ""},
		"one lost":     {func(p *WayBackProbe) { p.AnswersAfter-- }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := fabric{}.observe()
			for i := range o.WayBack {
				if p := &o.WayBack[i]; p.Entry == "a" && p.Answer == "b" && p.Frontend.Address.Addr().Is4() {
					c.change(p)
				}
			}
			r := Diagnose(o)
			assert.Empty(t, r.Findings)
			if c.want == "" {
				assert.Equal(t, Works, r.Verdict, unknowns(r))
				return
			}
			assert.Equal(t, []string{c.want}, unknowns(r))
			assert.Equal(t, NotKnown, r.Verdict)
		})
	}
}

// Nodes that calls do not come in by need no connections.
func TestDiagnoseConnectionsOfEntryNodesOnly(t *testing.T) {
	o := fabric{}.observe()
	o.WayBack = slices.DeleteFunc(o.WayBack, func(p WayBackProbe) bool { return p.Entry != "a" })
	r := Diagnose(o)
	assert.Equal(t, Works, r.Verdict, unknowns(r))
}

// A service is not said to work in a family that somebody lacks; another one is.
func TestDiagnoseFamilyThatSomebodyLacks(t *testing.T) {
	four := func(all []netip.Prefix) []netip.Prefix {
		return slices.DeleteFunc(slices.Clone(all), func(p netip.Prefix) bool { return p.Addr().Is6() })
	}
	for name, c := range map[string]struct {
		lose func(*Observations)
		who  string
	}{
		"client": {func(o *Observations) {
			o.Client.Addresses = o.Client.Addresses[:1]
		}, "the client"},
		"a node": {func(o *Observations) { o.Nodes[2].Addresses = four(o.Nodes[2].Addresses) }, "c"},
		"both": {func(o *Observations) {
			o.Client.Addresses = o.Client.Addresses[:1]
			o.Nodes[1].Addresses = four(o.Nodes[1].Addresses)
		}, "the client, b"},
	} {
		t.Run(name, func(t *testing.T) {
			o := fabric{}.observe()
			o.WayIn = slices.DeleteFunc(o.WayIn, func(p WayInProbe) bool { return p.Source.Is6() })
			c.lose(&o)
			other := o.Services[0]
			other.Service = *other.Service.DeepCopy()
			other.Service.Name, other.Service.Status.LoadBalancer.Ingress = "old", other.Service.Status.LoadBalancer.Ingress[:1]
			ports := other
			ports.Service = *ports.Service.DeepCopy()
			ports.Service.Name, ports.Service.Spec.Type, ports.Service.Status = "ports", corev1.ServiceTypeNodePort, corev1.ServiceStatus{}
			ports.Service.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol}
			o.Services = append(o.Services, other, ports)
			called := o.WayIn[0]
			called.Frontend.Service = "default/old"
			o.WayIn = append(o.WayIn, called)
			r := Diagnose(o)
			assert.Equal(t, []string{
				"calls to [2001:db8:a::1]:30080: not tried, as these have no IPv6 address: " + c.who,
				"calls to [2001:db8:f::80]:80: not tried, as these have no IPv6 address: " + c.who,
			}, unknowns(r))
			verdicts := map[string]Verdict{}
			for _, s := range r.Services {
				verdicts[s.Name] = s.Verdict
			}
			assert.Equal(t, map[string]Verdict{"default/old": Works, "default/ports": NotKnown, "default/web": NotKnown}, verdicts)
			assert.Equal(t, NotKnown, r.Verdict)
		})
	}
}

// Where the pods of a service are not known, it suffers from all that nodes and pairs do, and is never said to work; nor is a cluster whose services
// could not be read.
func TestDiagnoseUnknownEndpoints(t *testing.T) {
	o := fabric{SourceCheck: true}.observe()
	o.Services[0].Endpoints = nil
	assert.Equal(t, WorksIf, Diagnose(o).Services[0].Verdict)

	o = fabric{}.observe()
	require.Equal(t, Works, Diagnose(o).Verdict)
	o.Services[0].Endpoints = map[string]int{}
	assert.Equal(t, Works, Diagnose(o).Services[0].Verdict, "it has no pod")
	o.Services[0].Endpoints = nil
	document, err := yaml.Marshal(o)
	require.NoError(t, err)
	o, err = Parse(document)
	require.NoError(t, err)
	r := Diagnose(o)
	assert.Equal(t, []Verdict{NotKnown, NotKnown}, []Verdict{r.Verdict, r.Services[0].Verdict})
	require.Len(t, r.Unknown, 1)
	assert.Equal(t, "which nodes have pods of default/web", r.Unknown[0].What)
	assert.Equal(t, Works, r.Pairs[0].Verdict)

	o = fabric{}.observe()
	o.Services = nil
	o.Unread = []Unread{{What: "the cluster's services", Why: "forbidden", Needed: true}, {What: "host ports of services", Why: "forbidden"}}
	r = Diagnose(o)
	assert.Equal(t, NotKnown, r.Verdict)
	assert.Equal(t, []Unknown{{Services: []string{}, What: "the cluster's services"}}, r.Unknown)
	assert.Equal(t, Works, r.Pairs[0].Verdict)
}

// A service that was not called, as only so many are and only over TCP, or that has pods on nodes that were not probed, is not said to
// work; others are.
func TestDiagnoseServiceNotTried(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Service)
		call   *Frontend
		want   string
	}{
		"called":         {func(*Service) {}, &Frontend{Service: "default/more", Kind: VIP, Address: netip.MustParseAddrPort("203.0.113.81:80")}, ""},
		"not called":     {func(*Service) {}, nil, "what nodes see of calls to default/more: not tried"},
		"only its port":  {func(*Service) {}, &Frontend{Service: "default/more", Kind: NodeAddress, Node: "b", Address: netip.MustParseAddrPort("10.1.0.2:30081")}, "what nodes see of calls to default/more: not tried"},
		"another's":      {func(*Service) {}, &Frontend{Service: "default/less", Kind: VIP, Address: netip.MustParseAddrPort("203.0.113.81:80")}, "what nodes see of calls to default/more: not tried"},
		"not affected":   {func(s *Service) { s.Service.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal }, nil, ""},
		"pod not probed": {func(s *Service) { s.Endpoints = map[string]int{"b": 1, "d": 1, "e": 2, "f": 0} }, &Frontend{Service: "default/more", Kind: VIP, Address: netip.MustParseAddrPort("203.0.113.81:80")}, "whether the client gets replies of pods on nodes that were not probed (d, e): default/more"},
		"local not probed": {func(s *Service) {
			s.Service.Spec.Type = corev1.ServiceTypeClusterIP
			s.Endpoints = map[string]int{"d": 1}
		}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := fabric{}.observe()
			more := Service{Service: *o.Services[0].Service.DeepCopy(), Endpoints: o.Services[0].Endpoints}
			more.Service.Name, more.Service.Status.LoadBalancer.Ingress = "more", []corev1.LoadBalancerIngress{{IP: "203.0.113.81"}}
			c.change(&more)
			o.Services = append(o.Services, more)
			if c.call != nil {
				o.WayIn = append(o.WayIn, WayInProbe{Frontend: *c.call, Source: o.Client.Addresses[0], Sent: packets,
					Seen: []Sighting{{Node: "b", Source: o.Client.Addresses[0], Destination: c.call.Address, Count: packets}}})
			}
			r := Diagnose(o)
			assert.Empty(t, r.Findings)
			for _, p := range r.Pairs {
				assert.Equal(t, Works, p.Verdict, "%v", p.Why)
			}
			assert.Equal(t, Works, r.Services[1].Verdict, "default/web: %v", r.Services[1].Why)
			if c.want == "" {
				assert.Equal(t, Works, r.Verdict, unknowns(r))
				assert.NotEqual(t, NotKnown, r.Services[0].Verdict)
				return
			}
			assert.Equal(t, []string{c.want}, unknowns(r))
			assert.Equal(t, NotKnown, r.Verdict)
			assert.Equal(t, NotKnown, r.Services[0].Verdict)
			assert.Equal(t, []string{"not known: " + c.want}, r.Services[0].Why)
		})
	}
}

// One call of twelve is neither enough to work nor none at all.
func TestDiagnoseFewCallsArrive(t *testing.T) {
	o := fabric{}.observe()
	o.WayIn[0].Sent, o.WayIn[0].Seen[0].Count = 12, 1
	r := Diagnose(o)
	assert.Empty(t, r.Findings)
	assert.Equal(t, []string{"what nodes see of calls to 203.0.113.80:80: 12 sent, 1 arrived"}, unknowns(r))
	assert.Equal(t, NotKnown, r.Services[0].Verdict)
}

// Where VIPs are of one family only, the other needs none: its NodePorts are called by the nodes' addresses.
func TestDiagnoseFamilyWithoutVIPs(t *testing.T) {
	withoutVIPs := func(o Observations) Observations {
		ingress := &o.Services[0].Service.Status.LoadBalancer.Ingress
		*ingress = (*ingress)[:1]
		vip := addressesOf(ipv6).vip
		o.Spoof = slices.DeleteFunc(o.Spoof, func(p SpoofProbe) bool { return p.Source == vip })
		o.Direct = slices.DeleteFunc(o.Direct, func(p DirectProbe) bool { return p.Destination == vip })
		o.WayIn = slices.DeleteFunc(o.WayIn, func(p WayInProbe) bool { return p.Frontend.Address.Addr() == vip })
		o.WayBack = slices.DeleteFunc(o.WayBack, func(p WayBackProbe) bool { return p.Frontend.Address.Addr() == vip })
		return o
	}
	r := Diagnose(withoutVIPs(fabric{}.observe()))
	assert.Empty(t, r.Findings)
	assert.Equal(t, Works, r.Verdict, unknowns(r))

	o := withoutVIPs(fabric{}.observe())
	o.Spoof = slices.DeleteFunc(o.Spoof, func(p SpoofProbe) bool { return p.Kind == SourceOtherNode && p.Source.Is6() })
	r = Diagnose(o)
	assert.Equal(t, NotKnown, r.Verdict)
	assert.Contains(t, unknowns(r), "a: whether the client gets the node's packets with the source of another node over IPv6")

	o = withoutVIPs(fabric{}.observe())
	o.Spoof = slices.DeleteFunc(o.Spoof, func(p SpoofProbe) bool { return p.Kind == SourceVIP })
	assert.Contains(t, unknowns(Diagnose(o)), "a: whether the client gets the node's packets with the source of a VIP over IPv4", "there is one of IPv4")
}
