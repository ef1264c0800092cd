// Package netns builds a topology from network namespaces of this machine: one for the fabric, one for each node and pod.
// It is pure Go over netlink; no program is executed but those that run inside the network.
package netns

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"github.com/dsrlab/dsrlab/internal/words"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/rtnl"
	"github.com/dsrlab/dsrlab/topologies/shape"
)

// DefaultStateDir is where networks keep their journal, logs and bpffs.
const DefaultStateDir = "/run/dsrlab"

// Fabric is the namespace between the nodes.
const Fabric = "fabric"

// namespaceDir is where named namespaces are, for `ip netns` too.
const namespaceDir = "/run/netns"

// Entries of a network's folder; see also journalFile. Packages that build on a network have others.
const (
	planFile      = "plan.json"
	requestedFile = "asked.json"
	bpfFolder     = "bpf"
	logsFolder    = "logs"
)

// nodeDevice is every node's and pod's own device.
const nodeDevice = "eth0"

// ErrNotFound means that there is no complete network of this name.
var ErrNotFound = errors.New("no such network")

// Network is a topology that has been built. Its methods may be called from several goroutines.
type Network struct {
	stateDir, name string
	id             string
	plan           *topologies.Plan
	existing       bool
	lock           *Lock // that Up was given
	journal        *journal
	// external are the namespaces that a provider made, by name.
	external map[string]ExternalNamespace
	// reshaping is held while a wire changes: what nodes send depends on the wires of all.
	reshaping sync.Mutex
}

// Name of the network.
func (nw *Network) Name() string { return nw.name }

// ID is what marks all that is the network's: eight hexadecimal digits.
func (nw *Network) ID() string { return nw.id }

// StateDir is the folder of all networks.
func (nw *Network) StateDir() string { return nw.stateDir }

// Dir is the network's own folder.
func (nw *Network) Dir() string { return filepath.Join(nw.stateDir, nw.name) }

// Plan is what the network was built from.
func (nw *Network) Plan() *topologies.Plan { return nw.plan }

// Existing reports whether Up found the network already built.
func (nw *Network) Existing() bool { return nw.existing }

// alias marks a link as the network's.
func (nw *Network) alias(what string) string { return markOf(nw.id, what) }

// namespacePrefix is what the names of all networks' namespaces begin with.
const namespacePrefix = "dsrlab-"

// namespaceName is the name of a namespace.
func namespaceName(lab, ns string) string { return namespacePrefix + lab + "-" + ns }

// bpfDir is where the network mounts its bpffs.
func (nw *Network) bpfDir() string { return filepath.Join(nw.Dir(), bpfFolder) }

// BPFDir is the node's folder for pins, on the network's own bpffs or that of an external node. It may not exist yet.
func (nw *Network) BPFDir(node string) (string, error) {
	if _, err := nw.node(node); err != nil {
		return "", err
	}
	if a, ok := nw.external[node]; ok {
		return a.PinDir, nil
	}
	return filepath.Join(nw.bpfDir(), node), nil
}

func (nw *Network) node(name string) (*topologies.Node, error) {
	n := nw.plan.Node(name)
	if n == nil {
		return nil, fmt.Errorf("%s has no node %q", nw.name, name)
	}
	return n, nil
}

// Namespaces are the fabric, all nodes and all pods.
func (nw *Network) Namespaces() []string {
	names := []string{Fabric}
	for _, n := range nw.plan.Nodes {
		names = append(names, n.Name)
	}
	for _, p := range nw.plan.Pods {
		names = append(names, p.Name)
	}
	return names
}

// hasNamespace reports whether the plan has this namespace.
func (nw *Network) hasNamespace(ns string) bool {
	return ns == Fabric || nw.plan.Node(ns) != nil || nw.plan.Pod(ns) != nil
}

// NetNS opens a namespace's file; the caller closes it.
func (nw *Network) NetNS(ns string) (*os.File, error) {
	if !nw.hasNamespace(ns) {
		return nil, fmt.Errorf("%s has no node or pod %q (want one of %s)", nw.name, ns, words.List(nw.Namespaces()))
	}
	if a, ok := nw.external[ns]; ok {
		return a.netNS()
	}
	return os.Open(filepath.Join(namespaceDir, namespaceName(nw.name, ns)))
}

// Do runs f on a thread inside a namespace. Goroutines that f starts are elsewhere; sockets that f opens stay
// in the namespace.
func (nw *Network) Do(ns string, f func() error) error {
	file, err := nw.NetNS(ns)
	if err != nil {
		return err
	}
	defer file.Close()
	return inside(int(file.Fd()), f)
}

// dial opens a netlink connection to a namespace; the caller closes it.
func (nw *Network) dial(ns string) (conn *rtnl.Conn, err error) {
	err = nw.Do(ns, func() (err error) {
		conn, err = rtnl.Dial()
		return err
	})
	return conn, err
}

// wire is a node's link as the fabric has it.
func (nw *Network) wire(fabric *rtnl.Conn, n *topologies.Node) (shape.Wire, error) {
	port, err := fabric.LinkByName(n.Port)
	if err != nil {
		return shape.Wire{}, fmt.Errorf("port of %s: %w", n.Name, err)
	}
	return shape.Wire{Conn: fabric, Port: port, Alias: nw.alias("wire of " + n.Name), Group: linkGroup}, nil
}

// Reshape changes a node's link while it carries traffic. A direction without a rate is no longer limited. Where a wire of the network is
// policed before or after, it also changes which nodes send super-packets; two processes must not do that at the same time.
func (nw *Network) Reshape(node string, toNode, fromNode topologies.Shape) error {
	n, err := nw.node(node)
	if err != nil {
		return err
	}
	fabric, err := nw.dial(Fabric)
	if err != nil {
		return err
	}
	defer fabric.Close()
	wire, err := nw.wire(fabric, n)
	if err != nil {
		return err
	}
	nw.reshaping.Lock()
	defer nw.reshaping.Unlock()
	nodes, err := nw.nodesAsLimited(fabric)
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
	reach := func(ns string, f func(*rtnl.Conn) error) error {
		if ns == Fabric {
			return f(fabric)
		}
		conn, err := nw.dial(ns)
		if err != nil {
			return err
		}
		defer conn.Close()
		return f(conn)
	}
	maps.Copy(before, after) // frames come one by one before there is a policer, and until there is none
	if err := nw.setFrameByFrame(before, reach); err != nil {
		return err
	}
	if err := wire.Set(toNode, fromNode); err != nil {
		return err
	}
	return nw.setFrameByFrame(after, reach)
}

// PortStats reads the counters of a node's link, in both directions, and how it is shaped now.
func (nw *Network) PortStats(node string) (toNode, fromNode shape.Stats, err error) {
	n, err := nw.node(node)
	if err != nil {
		return shape.Stats{}, shape.Stats{}, err
	}
	fabric, err := nw.dial(Fabric)
	if err != nil {
		return shape.Stats{}, shape.Stats{}, err
	}
	defer fabric.Close()
	wire, err := nw.wire(fabric, n)
	if err != nil {
		return shape.Stats{}, shape.Stats{}, err
	}
	return wire.Read()
}
