// Package servicestest makes up services for tests of what builds on package services. The nodes are node0, node1 and so on, at
// 192.0.2.1, 192.0.2.2 and so on.
package servicestest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// NodeName is the name of the i-th node.
func NodeName(i int) string { return fmt.Sprintf("node%d", i) }

// NodeAddr is the IPv4 address of the i-th node.
func NodeAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}) }

// Many are the tables of services with some backends each on the second node, and a LoadBalancer and a ClusterIP.
func Many(count, backends int) *services.Tables {
	t := &services.Tables{}
	for i := range count {
		one := One(i, backends)
		for f := range one.Frontends {
			for b := range one.Frontends[f].Backends {
				one.Frontends[f].Backends[b] += len(t.Backends)
			}
		}
		t.Frontends = append(t.Frontends, one.Frontends...)
		t.Backends = append(t.Backends, one.Backends...)
	}
	return t
}

// One is the i-th service of Many, default/s00000 and so on, alone.
func One(i, backends int) *services.Tables {
	t := &services.Tables{}
	all := make([]int, backends)
	for b := range backends {
		n := i*16 + b
		t.Backends = append(t.Backends, services.Backend{
			Address: netip.AddrFrom4([4]byte{10, byte(1 + n>>16), byte(n >> 8), byte(n)}), Port: 8080, Protocol: services.TCP,
			Node: NodeName(1), NodeAddress: NodeAddr(1), Weight: 1,
		})
		all[b] = b
	}
	for _, f := range []services.Frontend{
		{Address: netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), Kind: services.KindLoadBalancer, Mode: services.ModeDSR},
		{Address: netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)}), Kind: services.KindClusterIP, Mode: services.ModeSNAT},
	} {
		f.Port, f.Protocol, f.PortName, f.Service = 80, services.TCP, "http", fmt.Sprintf("default/s%05d", i)
		f.Backends = append([]int(nil), all...)
		t.Frontends = append(t.Frontends, f)
	}
	return t
}

// Random are some services, default/s0 to default/s5, with some backends on two nodes: shared, weighted, draining, of both families.
func Random(r *rand.Rand) *services.Tables {
	t := &services.Tables{}
	weights := []uint32{0, 1, 1, 1} // mostly lists, which take no time
	if r.IntN(8) == 0 {
		weights = []uint32{1, 2}
	}
	for i := range 8 {
		if r.IntN(4) == 0 {
			continue
		}
		node := r.IntN(2)
		addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 2)})
		if i%2 == 1 {
			addr = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i + 2)})
		}
		t.Backends = append(t.Backends, services.Backend{
			Address: addr, Port: 80, Protocol: services.TCP, Node: NodeName(node), NodeAddress: NodeAddr(node),
			Weight: weights[r.IntN(len(weights))], Draining: r.IntN(4) == 0,
		})
	}
	for i := range 6 {
		if r.IntN(4) > 0 {
			t.Frontends = append(t.Frontends, randomFrontend(r, i, len(t.Backends)))
		}
	}
	return t
}

func randomFrontend(r *rand.Rand, i, backends int) services.Frontend {
	f := services.Frontend{
		Address: netip.AddrFrom4([4]byte{185, 150, 8, byte(i / 2)}), Port: uint16(80 + i), Protocol: services.TCP,
		Kind: services.KindLoadBalancer, Mode: services.ModeDSR, LocalOnly: r.IntN(3) == 0,
		Service: fmt.Sprintf("default/s%d", (i+r.IntN(2))%6),
	}
	if r.IntN(3) == 0 {
		f.Kind = services.KindClusterIP
	}
	if r.IntN(3) == 0 {
		f.SourceRanges = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, 0}), 20+r.IntN(8)).Masked()}
	}
	f.Affinity = time.Duration(r.IntN(2)) * time.Hour
	for b := range backends {
		if r.IntN(2) == 0 {
			f.Backends = append(f.Backends, b)
		}
	}
	return f
}

// Of is the part of tables that one service has, as an update of it is given.
func Of(service string, t *services.Tables) *services.Tables {
	part := &services.Tables{}
	index := make(map[int]int)
	for _, f := range t.Frontends {
		if f.Service != service {
			continue
		}
		var backends []int
		for _, b := range f.Backends {
			if _, ok := index[b]; !ok {
				index[b] = len(part.Backends)
				part.Backends = append(part.Backends, t.Backends[b])
			}
			backends = append(backends, index[b])
		}
		f.Backends = backends
		part.Frontends = append(part.Frontends, f)
	}
	return part
}
