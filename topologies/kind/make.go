package kind

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/kind/pkg/cluster"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
	"github.com/dsrlab/dsrlab/topologies/rtnl"
)

const (
	// networkVariable is how kind is told of another network than its own.
	networkVariable = "KIND_EXPERIMENTAL_DOCKER_NETWORK"
	// registerTimeout is how long nodes may take to tell the API server of themselves, and to get their pod CIDRs.
	registerTimeout = time.Minute
	pollEvery       = 200 * time.Millisecond
)

// build is a cluster under way.
type build struct {
	Options
	*Cluster
	network *netns.Network
	plan    *topologies.Plan // as the topology has it
	bridge  string
	seen    seen
	pids    map[string]int // of nodes, by the topology's names
	// addresses of all nodes, by the cluster's names
	addresses map[string]string
}

// CreateNodes makes the cluster: its network first, and what guards it.
func (m *Provider) CreateNodes(ctx context.Context, network *netns.Network) (netns.Provided, error) {
	b := &build{
		Options: m.Options.withDefaults(), network: network, plan: network.Plan(), bridge: "dsrl" + network.ID(), pids: make(map[string]int),
		seen: seen{nodes: make(map[string]seenNode), pods: make(map[string]seenPod), clusterIPs: make(map[string][]string)},
	}
	m.build = b
	if err := errors.Join(check(b.plan), Ready(ctx, b.NodeImage, len(b.plan.ClusterNodes())+1)); err != nil {
		return netns.Provided{}, err
	}
	name := clusterName(network.Name())
	if err := checkNameFree(ctx, name); err != nil {
		return netns.Provided{}, err
	}
	if err := b.own(name); err != nil {
		return netns.Provided{}, err
	}
	if err := b.makeGuardedNetwork(ctx, name); err != nil {
		return netns.Provided{}, err
	}
	if err := b.create(ctx, name); err != nil {
		return netns.Provided{}, err
	}
	b.OnStep("nodes of the cluster")
	if err := b.readNodesAsMade(ctx); err != nil {
		return netns.Provided{}, err
	}
	if err := noteInitSettings(ownedInitValue, b.network.RecordResource); err != nil {
		return netns.Provided{}, err
	}
	plan, err := readdressed(b.plan, b.seen)
	return netns.Provided{Plan: plan, Namespaces: b.adoptNodes(), Bridge: b.bridge}, err
}

// checkNameFree leaves a cluster and a network alone that have the names, and do not belong to this network.
func checkNameFree(ctx context.Context, name string) error {
	clusters, err := provider(nil).List()
	if err != nil {
		return err
	}
	for _, c := range clusters {
		if c == name {
			return fmt.Errorf("a kind cluster %s exists and does not belong to this network: remove it with `kind delete cluster --name %[1]s`, or choose another --name", name)
		}
	}
	n, err := inspectNetwork(ctx, name)
	if err == nil && n != nil {
		err = fmt.Errorf("a Docker network %s exists and does not belong to this network: remove it with `docker network rm %[1]s`, or choose another --name", name)
	}
	return err
}

// own names to the lab all that will be made, before any of it is.
func (b *build) own(name string) error {
	return errors.Join(
		b.network.RecordResource(netns.Resource{Kind: ownedCluster, Name: name}),
		b.network.RecordResource(netns.Resource{Kind: ownedNetwork, Name: name, Value: b.network.ID()}),
		b.network.RecordResource(netns.Resource{Kind: ownedGuard, Name: b.bridge}),
		rememberSettings(b.network.RecordResource),
	)
}

// makeGuardedNetwork makes the guard first: the network has no moment without it.
func (b *build) makeGuardedNetwork(ctx context.Context, name string) error {
	if err := putGuard(b.bridge, b.bridge); err != nil {
		return err
	}
	mtu := b.plan.MTU
	for i := range b.plan.Nodes {
		if n := &b.plan.Nodes[i]; n.Network == networkOf(b.plan) {
			mtu = b.plan.MTUOf(n)
		}
	}
	network, err := makeNetwork(ctx, name, b.bridge, b.network.ID(), mtu)
	if err != nil {
		return err
	}
	if network == nil {
		return fmt.Errorf("network %s is gone", name)
	}
	if b.seen.subnet, err = network.subnet(); err != nil {
		return err
	}
	if _, err := netlink.LinkByName(b.bridge); err != nil {
		return fmt.Errorf("the container engine's bridge %s is not in this network namespace (%w): is it Docker Desktop, or on another machine? "+
			"The kind substrate needs a Docker of this machine", b.bridge, err)
	}
	return nil
}

// create has kind make the nodes and Kubernetes on them. When ctx ends it is stopped by taking its containers away.
func (b *build) create(ctx context.Context, name string) error {
	refuse := refusePath(b.network.Dir())
	if err := os.WriteFile(refuse, []byte(refuseUnit(PodCIDR, ServiceCIDR)), 0o644); err != nil {
		return err
	}
	b.OnStep(fmt.Sprintf("kind cluster %s of %d nodes", name, len(b.plan.ClusterNodes())+1))
	done := make(chan error, 1)
	go func() { done <- b.createIn(name, configOf(b.plan, name, b.NodeImage, refuse)) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	for { // until there is a node to take away kind goes on
		_ = provider(nil).Delete(name, kubeconfigPath(b.network.Dir()))
		select {
		case err := <-done:
			return errors.Join(ctx.Err(), err)
		case <-time.After(removePause):
		}
	}
}

func (b *build) createIn(name string, config *v1alpha4.Cluster) error {
	restore, err := setEnvironment(environmentFor(name, b.network.ID()))
	if err != nil {
		return err
	}
	defer restore()
	err = provider(b.Log).Create(name,
		cluster.CreateWithV1Alpha4Config(config), cluster.CreateWithRetain(b.Keep), cluster.CreateWithWaitForReady(0),
		cluster.CreateWithKubeconfigPath(kubeconfigPath(b.network.Dir())),
		cluster.CreateWithDisplayUsage(false), cluster.CreateWithDisplaySalutation(false),
	)
	if err != nil {
		return fmt.Errorf("make kind cluster: %w", err)
	}
	return nil
}

// readNodesAsMade finds out what the engine and the API server gave each node.
func (b *build) readNodesAsMade(ctx context.Context) error {
	var err error
	b.Cluster = &Cluster{Name: clusterName(b.network.Name())}
	if b.nodes, err = provider(nil).ListInternalNodes(b.Name); err != nil {
		return err
	}
	if err := b.writeKubeconfig(); err != nil {
		return err
	}
	b.addresses = make(map[string]string)
	for _, n := range b.nodes {
		if b.addresses[n.String()], _, err = n.IP(); err != nil {
			return fmt.Errorf("node %s: %w", n, err)
		}
	}
	for _, n := range b.nodes {
		if err := b.prepareNode(ctx, n.String()); err != nil {
			return fmt.Errorf("node %s: %w", n, err)
		}
	}
	if b.Cluster, err = connect(ctx, b.network); err != nil {
		return err
	}
	return b.waitRegistered(ctx)
}

// writeKubeconfig lets the lab's own file, and nobody else's, lead to the API server by the node's address: a port of this machine
// is not needed for it.
func (b *build) writeKubeconfig() error {
	name, err := b.ControlPlaneNode()
	if err != nil {
		return err
	}
	for _, n := range b.nodes {
		if n.String() != name {
			continue
		}
		address, _, err := n.IP()
		if err != nil {
			return err
		}
		file := kubeconfigPath(b.network.Dir())
		config, err := clientcmd.LoadFromFile(file)
		if err != nil {
			return err
		}
		for _, c := range config.Clusters {
			c.Server = fmt.Sprintf("https://%s:%d", address, APIServerPort)
		}
		return clientcmd.WriteToFile(*config, file)
	}
	return nil
}

// withoutDNS is a script that names all nodes in a node's own file, and leaves it no server to ask: the engine's would ask elsewhere.
func (b *build) withoutDNS() string {
	var s strings.Builder
	for name, address := range b.addresses {
		fmt.Fprintf(&s, "echo %s %s >> /etc/hosts\n", address, name)
	}
	s.WriteString("echo '# a cluster that asks nobody outside' > /etc/resolv.conf\n")
	return s.String()
}

// prepareNode mounts a bpffs, which node images lack, and sees that the node refuses what no one has.
func (b *build) prepareNode(ctx context.Context, name string) error {
	for _, step := range []struct{ what, script string }{
		{"mount bpffs", "grep -q ' /sys/fs/bpf bpf ' /proc/mounts || mount -t bpf bpf /sys/fs/bpf"},
		{"name nodes without DNS", b.withoutDNS()},
	} {
		cmd, err := b.Command(ctx, name, "sh", "-c", step.script)
		if err == nil {
			err = cmd.Run()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	// After a reboot nothing would guard its network.
	if _, err := docker(ctx, "update", "--restart=no", name); err != nil {
		return err
	}
	pid, err := processOf(ctx, name)
	if err != nil {
		return err
	}
	return withConn(name, pid, func(conn *rtnl.Conn) error {
		for _, want := range []netip.Prefix{PodCIDR, ServiceCIDR} {
			if err := refuses(conn, want); err != nil {
				return err
			}
		}
		return nil
	})
}

func refuses(conn *rtnl.Conn, want netip.Prefix) error {
	routes, err := conn.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Type: unix.RTN_UNREACHABLE}, netlink.RT_FILTER_TYPE)
	if err != nil {
		return err
	}
	for _, r := range routes {
		if r.Dst != nil && r.Dst.String() == want.String() {
			return nil
		}
	}
	return fmt.Errorf("%s is not unreachable: the node's container runtime did not heed %s", want, refuseFile)
}

// withConn opens a way into the network namespace of a process.
func withConn(what string, pid int, do func(*rtnl.Conn) error) error {
	a, err := netns.NewExternalNamespace(what, pid, "")
	if err != nil {
		return fmt.Errorf("%w: the engine's containers are no processes of this machine", err)
	}
	conn, err := a.Dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	return do(conn)
}

// waitRegistered waits until every node has told the API server of itself and has its pod CIDR, and reads both.
func (b *build) waitRegistered(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	for _, n := range b.plan.ClusterNodes() {
		var made *corev1.Node
		err := poll(ctx, func() (bool, error) {
			list, err := b.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: nodeLabel + "=" + n.Name})
			if err != nil || len(list.Items) != 1 || list.Items[0].Spec.PodCIDR == "" {
				return false, err
			}
			made = &list.Items[0]
			return true, nil
		})
		if err != nil {
			return fmt.Errorf("wait for node %s and its pod CIDR: %w", n.Name, err)
		}
		if err := b.readNode(ctx, n.Name, made); err != nil {
			return fmt.Errorf("node %s: %w", n.Name, err)
		}
	}
	return nil
}

func (b *build) readNode(ctx context.Context, name string, made *corev1.Node) error {
	cidr, err := netip.ParsePrefix(made.Spec.PodCIDR)
	if err != nil {
		return err
	}
	address, err := internalIP(made)
	if err != nil {
		return err
	}
	if b.pids[name], err = processOf(ctx, made.Name); err != nil {
		return err
	}
	return withConn(name, b.pids[name], func(conn *rtnl.Conn) error {
		device, err := conn.LinkByName("eth0")
		if err != nil {
			return err
		}
		b.seen.nodes[name] = seenNode{Address: address, PodCIDR: cidr, MAC: topologies.HardwareAddr(device.Attrs().HardwareAddr)}
		return nil
	})
}

// adoptNodes are the nodes as namespaces of the lab. Their pins are seen through the root of a process that lives there.
func (b *build) adoptNodes() []netns.ExternalNamespace {
	var all []netns.ExternalNamespace
	for name, pid := range b.pids {
		if a, err := netns.NewExternalNamespace(name, pid, fmt.Sprintf("/proc/%d/root%s", pid, Pins)); err == nil {
			all = append(all, a)
		}
	}
	return all
}

func internalIP(n *corev1.Node) (netip.Addr, error) {
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			if ip := net.ParseIP(a.Address).To4(); ip != nil {
				return netip.AddrFrom4([4]byte(ip)), nil
			}
		}
	}
	return netip.Addr{}, errors.New("it has no IPv4 InternalIP")
}

// poll asks until the answer is yes, or ctx ends; then the last error tells why.
func poll(ctx context.Context, ask func() (bool, error)) error {
	for {
		yes, err := ask()
		if yes {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(pollEvery):
		}
	}
}
