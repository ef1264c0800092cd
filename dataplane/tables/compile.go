package tables

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// compileAll makes the specs of all services, by name, and returns why some of them have none. Backends without a frontend belong to
// the service "".
func compileAll(v *nodeView, t *services.Tables) (map[string]*serviceSpec, map[string]error) {
	frontends := make(map[string][]*services.Frontend)
	listed := make([]bool, len(t.Backends))
	for i := range t.Frontends {
		f := &t.Frontends[i]
		frontends[f.Service] = append(frontends[f.Service], f)
		for _, b := range f.Backends {
			if b >= 0 && b < len(listed) {
				listed[b] = true
			}
		}
	}
	owners := make(map[bpf.DatapathServiceKey]string, len(t.Frontends))
	specs, invalid := make(map[string]*serviceSpec, len(frontends)+1), make(map[string]error)
	for _, name := range sortedNames(frontends) {
		c := newCompiler(v, t)
		err, spec := c.service(frontends[name]), c.spec
		for i := 0; err == nil && i < len(spec.frontends); i++ {
			key := spec.frontends[i].key
			if other, taken := owners[key]; taken {
				err = takenError(key, other)
			}
		}
		if err != nil {
			invalid[name] = err
			continue
		}
		for i := range spec.frontends {
			owners[spec.frontends[i].key] = name
		}
		specs[name] = spec
	}
	unclaimed := newCompiler(v, t)
	for i := range listed {
		if !listed[i] {
			unclaimed.backend(i)
		}
	}
	if len(unclaimed.spec.backends) > 0 {
		specs[""] = unclaimed.spec
	}
	return specs, invalid
}

// compileOne makes the spec of the one service that t is about.
func compileOne(v *nodeView, name string, t *services.Tables) (*serviceSpec, error) {
	var frontends []*services.Frontend
	for i := range t.Frontends {
		f := &t.Frontends[i]
		if f.Service != name {
			return nil, &refusal{"frontend " + f.String(), fmt.Sprintf("it is of service %q", f.Service), "must be of the service itself"}
		}
		frontends = append(frontends, f)
	}
	c := newCompiler(v, t)
	if err := c.service(frontends); err != nil {
		return nil, err
	}
	for i := range t.Backends {
		c.backend(i)
	}
	return c.spec, nil
}

// compiler makes one spec. It is pure.
type compiler struct {
	view   *nodeView
	tables *services.Tables
	spec   *serviceSpec
	index  map[int]int // of a backend in tables to that in the spec
	ranges map[rangeSpec]bool
}

func newCompiler(v *nodeView, t *services.Tables) *compiler {
	return &compiler{view: v, tables: t, spec: &serviceSpec{}, index: make(map[int]int), ranges: make(map[rangeSpec]bool)}
}

// service adds the frontends of a service, which are ordered.
func (c *compiler) service(frontends []*services.Frontend) error {
	for _, f := range frontends {
		for _, list := range [][]int{f.Backends, f.Inside} {
			for _, b := range list {
				if b < 0 || b >= len(c.tables.Backends) {
					return &refusal{"frontend " + f.String(), fmt.Sprintf("found backend %d", b), fmt.Sprintf("there are %d", len(c.tables.Backends))}
				}
			}
		}
		c.frontend(f)
	}
	return nil
}

func (c *compiler) frontend(f *services.Frontend) {
	if isElsewhere(f, c.view.node) {
		for _, i := range f.Backends {
			c.backend(i)
		}
		return
	}
	port := c.port(f)
	address := bpf.WireAddress(f.Address)
	added := frontendSpec{
		key:  bpf.DatapathServiceKey{Address: address, Port: bpf.Port16(f.Port), Protocol: uint8(f.Protocol)},
		port: port,
		value: bpf.DatapathFrontend{
			Affinity: seconds(f.Affinity), Mode: uint8(modeNumber(f.Mode)), Kind: uint8(kindNumber(f.Kind)), Flags: flagsOf(c.tables, f, c.view.node),
		},
	}
	added.outside = c.set(c.tables.Selectable(f, c.view.node))
	added.inside = c.set(c.tables.SelectableInside(f, c.view.node))
	c.spec.frontends = append(c.spec.frontends, added)
	for _, prefix := range f.SourceRanges {
		c.addRanges(port, prefix)
	}
	if c.isGuarded(f) && !slices.Contains(c.spec.guards, address) {
		c.spec.guards = append(c.spec.guards, address)
	}
}

// isElsewhere reports whether the frontend is another node's alone: its NodePort with policy Local, which has that node's pods as
// backends. A client here is sent there, as by kube-proxy, which short-circuits VIPs, externalIPs and the node's own NodePorts.
func isElsewhere(f *services.Frontend, node string) bool {
	return f.Kind == services.KindNodePort && f.LocalOnly && f.Node != node
}

// isGuarded reports whether no host has the frontend's address, so that what is for none of its ports must not be routed. An externalIP
// can be a host's, whose other ports the service hasn't asked for.
func (c *compiler) isGuarded(f *services.Frontend) bool {
	return (f.Kind == services.KindLoadBalancer || f.Kind == services.KindClusterIP) && !c.view.hasNode(f.Address)
}

// port is the index of the frontend's port.
func (c *compiler) port(f *services.Frontend) int {
	name := shortened(portName(f))
	if i := slices.Index(c.spec.ports, name); i >= 0 {
		return i
	}
	c.spec.ports = append(c.spec.ports, name)
	return len(c.spec.ports) - 1
}

// portName is what a number of the data path stands for: namespace/name:port/PROTO, without :port where the port has no name.
func portName(f *services.Frontend) string {
	if f.PortName == "" {
		return f.Service + "/" + f.Protocol.String()
	}
	return f.Service + ":" + f.PortName + "/" + f.Protocol.String()
}

// shortened is a name as it fits into bpf.WireText: one that is too long ends with a hash of the whole instead, so that it stays another
// than all others.
func shortened(name string) string {
	longest := len(bpf.DatapathServiceName{}.Text) - 1
	if len(name) <= longest {
		return name
	}
	hash := fmt.Sprintf("~%016x", xxhash.Sum64String(name))
	return name[:longest-len(hash)] + hash
}

// backend is the index of a backend, given by its index in the tables.
func (c *compiler) backend(i int) int {
	if at, ok := c.index[i]; ok {
		return at
	}
	b := &c.tables.Backends[i]
	node := bpf.WireAddress(b.NodeAddress)
	added := backendSpec{
		backendID: backendID{
			bpf.DatapathServiceKey{Address: bpf.WireAddress(b.Address), Port: bpf.Port16(b.Port), Protocol: uint8(b.Protocol)}, node,
		},
		nextHop: c.view.nodes[node].NextHop, draining: b.Draining, outside: b.Node == "",
	}
	if b.Node == c.view.node {
		added.local = !c.view.hasNode(b.Address)
		added.pod, added.here = c.view.pods[added.Address]
		added.here = added.here || !added.local
	}
	c.spec.backends = append(c.spec.backends, added)
	c.index[i] = len(c.spec.backends) - 1
	return c.index[i]
}

// set is the index of a set of some backends of the tables. Backends without weight have no part in it.
func (c *compiler) set(backends []int) int {
	r := setSpec{shares: make([]share, 0, len(backends))}
	for _, i := range backends {
		at := c.backend(i)
		if weight := c.tables.Backends[i].Weight; weight > 0 {
			r.shares = append(r.shares, share{at, weight})
		}
	}
	if len(r.shares) == 0 {
		return noSet
	}
	r.reduce()
	for i := range c.spec.sets {
		if c.spec.sets[i].equal(r) {
			return i
		}
	}
	c.spec.sets = append(c.spec.sets, r)
	return len(c.spec.sets) - 1
}

// addRanges lets the clients of a prefix use a port. A short IPv6 prefix doesn't mean the IPv4 addresses that are mapped into
// it, so it becomes its parts beside them.
func (c *compiler) addRanges(port int, prefix netip.Prefix) {
	mapped := netip.MustParsePrefix("::ffff:0:0/96")
	if prefix.Addr().Is6() && prefix.Bits() < mapped.Bits() && prefix.Contains(mapped.Addr()) {
		for bits := prefix.Bits() + 1; bits <= mapped.Bits(); bits++ {
			c.addRange(port, netip.PrefixFrom(flipped(mapped.Addr(), bits-1), bits).Masked())
		}
		return
	}
	c.addRange(port, prefix)
}

func (c *compiler) addRange(port int, prefix netip.Prefix) {
	bits, address := bpf.WirePrefix(prefix)
	r := rangeSpec{port, bpf.DatapathRangeKey{Prefix: 32 + bits, Address: address}}
	if !c.ranges[r] {
		c.ranges[r] = true
		c.spec.ranges = append(c.spec.ranges, r)
	}
}

// flipped is an IPv6 address with one bit turned over.
func flipped(a netip.Addr, bit int) netip.Addr {
	b := a.As16()
	b[bit/8] ^= 0x80 >> (bit % 8)
	return netip.AddrFrom16(b)
}
