package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/proc"
	"github.com/dsrlab/dsrlab/topologies/rtnl"
)

// NodeProvider makes the LB and pod nodes of a network, with their pods, where they are not namespaces of this package: containers of a
// cluster. The fabric, and all that is outside of the cluster, is made here as ever; of each node the outer end of its wire is
// moved into the fabric.
type NodeProvider interface {
	// CreateNodes makes the nodes. It records each resource before it makes it (Network.RecordResource), for Remove.
	CreateNodes(ctx context.Context, nw *Network) (Provided, error)
	// CreatePods makes the pods, once the nodes are joined to the fabric. Its plan is that of CreateNodes with the pods as they are.
	CreatePods(ctx context.Context, nw *Network) (Provided, error)
	// Remove removes all recorded resources, of which some may never have been made and some may be gone. dir is the network's
	// folder. earlierBoot says that the machine was started anew since.
	Remove(ctx context.Context, dir string, owned []Resource, earlierBoot bool) error
	// Find returns the resources of a network that has lost its record of them, by the marks that they bear. ids are those that are known
	// of the network; there may be none.
	Find(ctx context.Context, network, dir string, ids []string) ([]Resource, error)
}

// Provided is what a NodeProvider has made.
type Provided struct {
	// Plan is the network's, with addresses, MAC addresses and devices as they turned out.
	Plan       *topologies.Plan
	Namespaces []ExternalNamespace
	// Bridge is the device that the nodes' wires are ports of, in the network namespace of this process.
	Bridge string
}

// Resource is something that a provider makes for the network outside of its namespaces, in the provider's terms.
type Resource struct{ Kind, Name, Value string }

// RecordResource writes a resource to the journal, before it is made.
func (nw *Network) RecordResource(o Resource) error {
	return nw.journal.add(entry{Kind: "owned", What: o.Kind, Name: o.Name, Value: o.Value})
}

// ExternalNamespace is a namespace that a provider made: the network namespace of a running process.
type ExternalNamespace struct {
	Name string
	PID  int
	// Start is when that process began, in clock ticks since boot: a number may be given again.
	Start uint64
	// PinDir is a node's folder of BPF pins.
	PinDir string
}

// NewExternalNamespace returns the network namespace of a running process.
func NewExternalNamespace(ns string, pid int, pins string) (ExternalNamespace, error) {
	p, err := proc.Read(pid)
	if err != nil {
		return ExternalNamespace{}, fmt.Errorf("adopt %s: %w", ns, err)
	}
	return ExternalNamespace{Name: ns, PID: pid, Start: p.Start, PinDir: pins}, nil
}

// netNS opens the namespace; the caller closes it.
func (a ExternalNamespace) netNS() (*os.File, error) {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", a.PID))
	if err == nil {
		if proc.IsRunning(a.PID, a.Start) {
			return ns, nil
		}
		ns.Close()
	}
	return nil, errors.New("its container has ended since the network was built: run `dsrlab down`, then `dsrlab up`")
}

func (nw *Network) addExternal(a ExternalNamespace) {
	if nw.external == nil {
		nw.external = make(map[string]ExternalNamespace)
	}
	nw.external[a.Name] = a
}

// isExternal reports whether a provider makes the namespace: on substrate kind, the LB and pod nodes with their pods.
func (nw *Network) isExternal(ns string) bool {
	if nw.plan.Substrate != topologies.SubstrateKindK {
		return false
	}
	n := nw.plan.Node(ns)
	return n != nil && !n.Role.OutsideCluster() || nw.plan.Pod(ns) != nil
}

// hasExternal reports whether a provider makes any namespace.
func (nw *Network) hasExternal() bool { return slices.ContainsFunc(nw.Namespaces(), nw.isExternal) }

// ownNamespaces are the namespaces that this package makes.
func (nw *Network) ownNamespaces() []string { return slices.DeleteFunc(nw.Namespaces(), nw.isExternal) }

// createExternalNodes has the provider make the nodes.
func (b *builder) createExternalNodes(ctx context.Context, nodes NodeProvider) error {
	if nodes == nil {
		return fmt.Errorf("no node provider for substrate %s", b.plan.Substrate)
	}
	if err := os.Rename(b.planPath(), b.requestedPath()); err != nil {
		return err
	}
	made, err := nodes.CreateNodes(ctx, b.Network)
	if err != nil {
		return err
	}
	b.engineBridge = made.Bridge
	return b.addProvided(made)
}

// addProvided records and opens what the provider has made.
func (b *builder) addProvided(made Provided) error {
	b.plan = made.Plan
	for _, a := range made.Namespaces {
		if err := b.journal.add(entry{Kind: "adopted", Name: a.Name, PID: a.PID, Start: a.Start, Pins: a.PinDir}); err != nil {
			return err
		}
		b.addExternal(a)
		p, err := a.open()
		if err != nil {
			return fmt.Errorf("%s: %w", a.Name, err)
		}
		b.namespaces[a.Name] = p
	}
	return nil
}

// Dial opens a netlink connection to the namespace; the caller closes it.
func (a ExternalNamespace) Dial() (conn *rtnl.Conn, err error) {
	ns, err := a.netNS()
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	err = inside(int(ns.Fd()), func() (err error) {
		conn, err = rtnl.Dial()
		return err
	})
	return conn, err
}

// open opens an external namespace.
func (a ExternalNamespace) open() (*namespace, error) {
	conn, err := a.Dial()
	if err != nil {
		return nil, err
	}
	ns, err := openNamespace(fmt.Sprintf("/proc/%d/ns/net", a.PID))
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &namespace{fd: ns, conn: conn}, nil
}

// attachExternalWire moves the outer end of a node's wire from the engine's bridge to the fabric's. There it has the name and the marks
// that a wire of this package has.
func (b *builder) attachExternalWire(engine *rtnl.Conn, n *topologies.Node, master int) error {
	device, err := b.ns(n.Name).link(nodeDevice)
	if err != nil {
		return err
	}
	bridge, err := engine.LinkByName(b.engineBridge)
	if err != nil {
		return fmt.Errorf("device %s: %w: the container engine's bridges are not in this network namespace", b.engineBridge, err)
	}
	end, err := engine.LinkByIndex(device.Attrs().ParentIndex)
	if err != nil || end.Type() != "veth" || end.Attrs().MasterIndex != bridge.Attrs().Index {
		return fmt.Errorf("the outer end of %s's %s is no port of %s", n.Name, nodeDevice, b.engineBridge)
	}
	fabric := b.ns(Fabric)
	if err := engine.LinkSetNsFd(end, fabric.fd); err != nil {
		return fmt.Errorf("move %s into the fabric: %w", end.Attrs().Name, err)
	}
	port, err := fabric.link(end.Attrs().Name)
	if err != nil {
		return err
	}
	conn := fabric.conn
	err = errors.Join(conn.LinkSetName(port, n.Port), conn.LinkSetGroup(port, linkGroup), conn.LinkSetMasterByIndex(port, master))
	if err != nil {
		return fmt.Errorf("join %s to the fabric: %w", n.Name, err)
	}
	return conn.Raise(port, b.alias("wire of "+n.Name))
}

// uplinkPort is the fabric's end of the wire to the engine's bridge.
const uplinkPort = "uplink"

// makeUplink joins a bridge of the fabric to that of the engine: what is on the one reaches what is still on the other.
func (b *builder) makeUplink(engine *rtnl.Conn, master int) error {
	bridge, err := engine.LinkByName(b.engineBridge)
	if err != nil {
		return fmt.Errorf("device %s: %w", b.engineBridge, err)
	}
	end := attrs("dsrl-"+b.id, nil, bridge.Attrs().MTU)
	end.MasterIndex = bridge.Attrs().Index
	veth := &netlink.Veth{LinkAttrs: end, PeerName: uplinkPort, PeerNamespace: netlink.NsFd(b.ns(Fabric).fd)}
	if err := engine.LinkAdd(veth); err != nil {
		return missing("veth pairs", "modprobe veth", err)
	}
	fabric := b.ns(Fabric)
	port, err := fabric.link(uplinkPort)
	if err != nil {
		return err
	}
	err = errors.Join(fabric.conn.LinkSetGroup(port, linkGroup), fabric.conn.LinkSetMasterByIndex(port, master))
	return errors.Join(err, engine.Raise(veth, b.alias("uplink")), fabric.conn.Raise(port, b.alias("uplink")))
}

// attachExternalNodes attaches the wires of all external nodes to the fabric.
func (b *builder) attachExternalNodes(masters map[string]int) error {
	if !b.hasExternal() {
		return nil
	}
	engine, err := rtnl.Dial()
	if err != nil {
		return err
	}
	defer engine.Close()
	joined := make(map[string]bool)
	for i := range b.plan.Nodes {
		n := &b.plan.Nodes[i]
		if !b.isExternal(n.Name) {
			continue
		}
		if err := b.attachExternalWire(engine, n, masters[n.Network]); err != nil {
			return err
		}
		if !joined[n.Network] {
			joined[n.Network] = true
			if err := b.makeUplink(engine, masters[n.Network]); err != nil {
				return fmt.Errorf("uplink: %w", err)
			}
		}
	}
	return nil
}

// configureExternalNode makes a node route as one of this package does. Its default route leads into the fabric, which leads nowhere
// but to the network's own networks; routes to pods are up to the provider.
func (b *builder) configureExternalNode(ns *namespace, n *topologies.Node) error {
	settings := b.sysctls(n.Name)
	settings["ipv4/conf/"+nodeDevice+"/rp_filter"] = "0"
	settings["ipv4/conf/"+nodeDevice+"/send_redirects"] = "0"
	if err := inside(ns.fd, func() error { return setSysctls(settings) }); err != nil {
		return err
	}
	device, err := ns.link(nodeDevice)
	if err != nil {
		return err
	}
	for _, route := range n.Routes {
		if route.Destination.Bits() == 0 {
			if err := ns.addRoute(device, route, b.plan.CongestionControl); err != nil {
				return err
			}
		}
	}
	return nil
}

// createExternalPods has the provider make the pods, and sets the topology's congestion control on their routes.
func (b *builder) createExternalPods(ctx context.Context, nodes NodeProvider) error {
	made, err := nodes.CreatePods(ctx, b.Network)
	if err != nil {
		return err
	}
	if err := b.addProvided(made); err != nil {
		return err
	}
	for i := range b.plan.Pods {
		if err := b.configureExternalPod(&b.plan.Pods[i]); err != nil {
			return fmt.Errorf("%s: %w", b.plan.Pods[i].Name, err)
		}
	}
	return nil
}

func (b *builder) configureExternalPod(p *topologies.Pod) error {
	pod := b.ns(p.Name)
	device, err := pod.link(nodeDevice)
	if err != nil {
		return err
	}
	routes, err := pod.conn.RouteList(device, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for _, r := range routes {
		r.Congctl = b.plan.CongestionControl
		if err := pod.conn.RouteReplace(&r); err != nil {
			return fmt.Errorf("route %v: %w", r, err)
		}
	}
	return nil
}
