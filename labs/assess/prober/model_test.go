package prober

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/workload/probe"
)

// model is a network without packets: what a station sends, others see at once, or never. Its nodes are both LB and pod nodes: calls to
// the VIP are spread over the entries by the client's port. Client and nodes are on either side of one router.
type model struct {
	mu       sync.Mutex
	machines map[string]*modelStation
	entries  []string
	// firewall reports whether a machine's port tracks connections, and drops what begins none and belongs to none.
	firewall func(node string) bool
	// lose drops a packet on its way, and refuse keeps a station from sending it.
	lose   func(from, to string, p probe.Probe) bool
	refuse func(from string, p probe.Probe) error
	// vips are the entries of other VIPs than modelVIP.
	vips map[netip.Addr][]string
	// markers is how many datagrams of settle each machine has sent to an address.
	markers map[string]map[netip.Addr]int
}

// modelStation is a machine of the model.
type modelStation struct {
	name    string
	net     *model
	address netip.Addr
	see     func(probe.Sighting)
	tracked map[[2]netip.AddrPort]bool
	facts   *probe.Facts // nil: as of a healthy node
}

var _ Station = (*modelStation)(nil)

const modelVIP = "198.51.100.80"

// newModel is a healthy network of a client and some nodes.
func newModel(nodes ...string) (*model, Site) {
	m := &model{
		machines: map[string]*modelStation{}, entries: nodes, vips: map[netip.Addr][]string{}, markers: map[string]map[netip.Addr]int{},
		firewall: func(string) bool { return false },
		lose:     func(string, string, probe.Probe) bool { return false },
		refuse:   func(string, probe.Probe) error { return nil },
	}
	machine := func(name, address string) Machine {
		prefix := netip.MustParsePrefix(address)
		s := &modelStation{name: name, net: m, address: prefix.Addr(), tracked: map[[2]netip.AddrPort]bool{}}
		m.machines[name] = s
		return Machine{Name: name, Addresses: []netip.Prefix{prefix}, Open: func(_ context.Context, see func(probe.Sighting)) (Station, error) {
			s.see = see
			return s, nil
		}}
	}
	vip := netip.MustParseAddr(modelVIP)
	service := corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeLoadBalancer, LoadBalancerIP: modelVIP, Ports: []corev1.ServicePort{{Port: 80}},
	}}
	site := Site{Of: "model", Client: machine("client", "192.0.2.2/24"), VIPs: []netip.Addr{vip}, Frontends: []assess.Frontend{
		{Service: "default/web", Kind: assess.VIP, Address: netip.AddrPortFrom(vip, 80)},
	}}
	endpoints := map[string]int{}
	for i, name := range nodes {
		site.Nodes = append(site.Nodes, machine(name, netip.AddrFrom4([4]byte{10, 1, 0, byte(i + 1)}).String()+"/24"))
		endpoints[name] = 1
	}
	site.Services = []assess.Service{{Service: service, Endpoints: endpoints}}
	return m, site
}

func (s *modelStation) Guard(context.Context, ...uint16) error { return nil }
func (s *modelStation) Close() error                           { return nil }

func (s *modelStation) Facts(context.Context) (*probe.Facts, error) {
	if s.facts != nil {
		return s.facts, nil
	}
	return &probe.Facts{Outside: "eth0", Devices: []probe.Device{{Name: "eth0", MTU: 1500}}, At: time.Now()}, nil
}

func (s *modelStation) Send(_ context.Context, probes ...probe.Probe) error {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	var errs []error
	for _, p := range probes {
		if port := p.Source.Port(); port >= firstMarker && port < firstMarker+flows {
			if s.net.markers[s.name] == nil {
				s.net.markers[s.name] = map[netip.Addr]int{}
			}
			s.net.markers[s.name][p.Destination.Addr()]++
		}
		if err := s.net.refuse(s.name, p); err != nil {
			errs = append(errs, err)
			continue
		}
		s.net.carry(s, p)
	}
	return errors.Join(errs...)
}

// to is the machine that a packet is for; nil if it is for none.
func (m *model) to(p probe.Probe) *modelStation {
	if p.NextHop.IsValid() {
		return m.owner(p.NextHop)
	}
	entries := m.vips[p.Destination.Addr()]
	if p.Destination.Addr() == netip.MustParseAddr(modelVIP) {
		entries = m.entries
	}
	if len(entries) > 0 {
		return m.machines[entries[int(p.Source.Port())%len(entries)]]
	}
	return m.owner(p.Destination.Addr())
}

func (m *model) owner(a netip.Addr) *modelStation {
	for _, s := range m.machines {
		if s.address == a {
			return s
		}
	}
	return nil
}

// passes is what the firewall at a machine's port does to a packet.
func (s *modelStation) passes(p probe.Probe) bool {
	if p.Kind != probe.KindTCP || !s.net.firewall(s.name) {
		return true
	}
	if p.Flags == probe.SYN {
		s.tracked[[2]netip.AddrPort{p.Source, p.Destination}] = true
	}
	return s.tracked[[2]netip.AddrPort{p.Source, p.Destination}] || s.tracked[[2]netip.AddrPort{p.Destination, p.Source}]
}

// carry takes a packet to where it is seen.
func (m *model) carry(from *modelStation, p probe.Probe) {
	if p.TTL == 0 {
		p.TTL = probe.DefaultTTL
	}
	seen := probe.Sighting{ID: p.ID, Level: probe.LevelLeft, Kind: p.Kind, Source: p.Source, Destination: p.Destination, TTL: p.TTL, Flags: p.Flags}
	from.see(seen)
	to := m.to(p)
	if to == nil || !from.passes(p) || m.lose(from.name, to.name, p) {
		return
	}
	seen.Level = probe.LevelDevice
	if (from.name == "client") != (to.name == "client") {
		if p.TTL == 1 {
			seen.Router, seen.Reason = netip.MustParseAddr("10.1.0.254"), probe.ReasonExpired
			from.see(seen)
			return
		}
		seen.TTL--
	}
	if !to.passes(p) {
		return
	}
	to.see(seen)
	if p.Destination.Addr() == to.address {
		seen.Level = probe.LevelSocket
		to.see(seen)
	}
}

// observe probes the model. What does not arrive at once never does, so there is no need for patience.
func (m *model) observe(t *testing.T, site Site) *assess.Observations {
	t.Helper()
	o, err := Observe(t.Context(), site, Options{Idle: time.Millisecond, Patience: 20 * time.Millisecond})
	require.NoError(t, err)
	return o
}
