// Package netns builds a topology from network namespaces of this machine: one for the fabric, one for each node and pod.
// It is pure Go over netlink; no program is executed but those that run inside the lab.
package netns

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/rtnl"
	"github.com/dsrlab/dsrlab/topologies/shape"
)

// DefaultStateDir is where labs keep their journal, logs and bpffs.
const DefaultStateDir = "/run/dsrlab"

// Fabric is the place between the nodes.
const Fabric = "fabric"

// namespaceDir is where named namespaces are, for `ip netns` too.
const namespaceDir = "/run/netns"

// nodeDevice is every node's and pod's own device.
const nodeDevice = "eth0"

// ErrNoLab says that no lab of this name stands.
var ErrNoLab = errors.New("no such lab")

// Lab is a topology that stands. Its methods may be called from several goroutines.
type Lab struct {
	stateDir, name string
	id             string
	plan           *topologies.Plan
	existing       bool
	journal        *journal
	// adopted are places that others made, by their names.
	adopted map[string]Adopted
	// reshaping is held while a wire changes: what nodes send depends on the wires of all.
	reshaping sync.Mutex
}

// Name of the lab.
func (l *Lab) Name() string { return l.name }

// ID is what marks all that is the lab's: eight hexadecimal digits.
func (l *Lab) ID() string { return l.id }

// StateDir is the folder of all labs.
func (l *Lab) StateDir() string { return l.stateDir }

// Dir is the lab's own folder.
func (l *Lab) Dir() string { return filepath.Join(l.stateDir, l.name) }

// Plan is what the lab was built from.
func (l *Lab) Plan() *topologies.Plan { return l.plan }

// Existing tells that Up found it standing.
func (l *Lab) Existing() bool { return l.existing }

// alias marks a link as the lab's.
func (l *Lab) alias(what string) string { return markOf(l.id, what) }

// namespaceName is the name of a place's namespace.
func namespaceName(lab, place string) string { return "dsrlab-" + lab + "-" + place }

// bpfDir is where the lab mounts its bpffs.
func (l *Lab) bpfDir() string { return filepath.Join(l.Dir(), "bpf") }

// BPFDir is the node's folder for pins, on the lab's own bpffs or that of an adopted node. It may not exist yet.
func (l *Lab) BPFDir(node string) (string, error) {
	if _, err := l.node(node); err != nil {
		return "", err
	}
	if a, ok := l.adopted[node]; ok {
		return a.Pins, nil
	}
	return filepath.Join(l.bpfDir(), node), nil
}

func (l *Lab) node(name string) (*topologies.Node, error) {
	i := slices.IndexFunc(l.plan.Nodes, func(n topologies.Node) bool { return n.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("%s has no node %q", l.name, name)
	}
	return &l.plan.Nodes[i], nil
}

// Places are the fabric, all nodes and all pods.
func (l *Lab) Places() []string {
	places := []string{Fabric}
	for _, n := range l.plan.Nodes {
		places = append(places, n.Name)
	}
	for _, p := range l.plan.Pods {
		places = append(places, p.Name)
	}
	return places
}

// has tells whether the plan has this place.
func (l *Lab) has(place string) bool {
	return place == Fabric ||
		slices.ContainsFunc(l.plan.Nodes, func(n topologies.Node) bool { return n.Name == place }) ||
		slices.ContainsFunc(l.plan.Pods, func(p topologies.Pod) bool { return p.Name == place })
}

// NetNS opens a place's network namespace; the caller closes it.
func (l *Lab) NetNS(place string) (*os.File, error) {
	if !l.has(place) {
		return nil, fmt.Errorf("%s has no node or pod %q; there are %v", l.name, place, l.Places())
	}
	if a, ok := l.adopted[place]; ok {
		return a.netNS()
	}
	return os.Open(filepath.Join(namespaceDir, namespaceName(l.name, place)))
}

// Do runs f on a thread inside a place's network namespace. Goroutines that f starts are elsewhere; sockets that f opens stay
// in the place.
func (l *Lab) Do(place string, f func() error) error {
	ns, err := l.NetNS(place)
	if err != nil {
		return err
	}
	defer ns.Close()
	return inside(int(ns.Fd()), f)
}

// dial opens a way into a place; the caller closes it.
func (l *Lab) dial(place string) (conn *rtnl.Conn, err error) {
	err = l.Do(place, func() (err error) {
		conn, err = rtnl.Dial()
		return err
	})
	return conn, err
}

// wire is a node's link as the fabric has it.
func (l *Lab) wire(fabric *rtnl.Conn, n *topologies.Node) (shape.Wire, error) {
	port, err := fabric.LinkByName(n.Port)
	if err != nil {
		return shape.Wire{}, fmt.Errorf("port of %s: %w", n.Name, err)
	}
	return shape.Wire{Conn: fabric, Port: port, Alias: l.alias("wire of " + n.Name), Group: linkGroup}, nil
}

// Reshape changes a node's link while it carries traffic. A direction without a rate is no longer limited. Where a wire of the network is
// policed before or after, it also changes which nodes send super-packets; two processes must not do that at the same time.
func (l *Lab) Reshape(node string, toNode, fromNode topologies.Shape) error {
	n, err := l.node(node)
	if err != nil {
		return err
	}
	fabric, err := l.dial(Fabric)
	if err != nil {
		return err
	}
	defer fabric.Close()
	wire, err := l.wire(fabric, n)
	if err != nil {
		return err
	}
	l.reshaping.Lock()
	defer l.reshaping.Unlock()
	nodes, err := l.limited(fabric)
	if err != nil {
		return err
	}
	before := frameByFrame(nodes)
	for i := range nodes {
		if nodes[i].Name == node {
			nodes[i].ToNode, nodes[i].FromNode = toNode, fromNode
		}
	}
	after := frameByFrame(nodes)
	if len(before) == 0 && len(after) == 0 {
		return wire.Set(toNode, fromNode)
	}
	reach := func(place string, f func(*rtnl.Conn) error) error {
		if place == Fabric {
			return f(fabric)
		}
		conn, err := l.dial(place)
		if err != nil {
			return err
		}
		defer conn.Close()
		return f(conn)
	}
	maps.Copy(before, after) // frames come one by one before there is a policer, and until there is none
	if err := l.setFrameByFrame(before, reach); err != nil {
		return err
	}
	if err := wire.Set(toNode, fromNode); err != nil {
		return err
	}
	return l.setFrameByFrame(after, reach)
}

// PortStats reads the counters of a node's link, in both directions, and how it is shaped now.
func (l *Lab) PortStats(node string) (toNode, fromNode shape.Stats, err error) {
	n, err := l.node(node)
	if err != nil {
		return shape.Stats{}, shape.Stats{}, err
	}
	fabric, err := l.dial(Fabric)
	if err != nil {
		return shape.Stats{}, shape.Stats{}, err
	}
	defer fabric.Close()
	wire, err := l.wire(fabric, n)
	if err != nil {
		return shape.Stats{}, shape.Stats{}, err
	}
	return wire.Read()
}
