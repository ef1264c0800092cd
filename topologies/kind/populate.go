package kind

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
	"github.com/dsrlab/dsrlab/topologies/rtnl"
)

// readyTimeout is how long a cluster may take from its pod network to the last pod that is ready.
const readyTimeout = 3 * time.Minute

// CreatePods deploys data path and pod network, then the topology's pods and services.
func (m *Provider) CreatePods(ctx context.Context, network *netns.Network) (netns.Provided, error) {
	b := m.build
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not ready within %s", readyTimeout))
	defer cancel()
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"CoreDNS asks nobody outside", b.keepDNSInside},
		{"image " + b.WorkloadImage + " on all nodes", func(context.Context) error {
			return b.load(filepath.Join(b.network.Dir(), "image.tar"), b.Archive)
		}},
		{"data path and pod network", func(ctx context.Context) error { return b.Deploy(ctx, b.Cluster) }},
		{"all pods of the cluster ready", b.WaitReady},
		{"pods and services of the topology", b.makeWorkload},
	} {
		b.OnStep(step.name)
		if err := step.do(ctx); err != nil {
			return netns.Provided{}, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	namespaces, err := b.findPods(ctx)
	if err != nil {
		return netns.Provided{}, err
	}
	plan, err := readdressed(b.plan, b.seen)
	return netns.Provided{Plan: plan, Namespaces: namespaces}, err
}

// keepDNSInside takes the upstream servers out of CoreDNS's configuration, and the loop detection that would ask them. It does not
// run yet.
func (b *build) keepDNSInside(ctx context.Context) error {
	maps := b.Client.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	config, err := maps.Get(ctx, "coredns", metav1.GetOptions{})
	if err != nil {
		return err
	}
	config.Data["Corefile"] = withoutUpstream(config.Data["Corefile"])
	_, err = maps.Update(ctx, config, metav1.UpdateOptions{})
	return err
}

// withoutUpstream is a Corefile without its directives forward and loop.
func withoutUpstream(corefile string) string {
	var kept []string
	depth := 0 // inside a directive that goes
	for line := range strings.Lines(corefile) {
		fields := strings.Fields(line)
		switch {
		case depth > 0:
			depth += strings.Count(line, "{") - strings.Count(line, "}")
		case len(fields) > 0 && (fields[0] == "forward" || fields[0] == "loop"):
			depth = strings.Count(line, "{") - strings.Count(line, "}")
		default:
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// findPods finds the topology's pods on this machine: their address by the API server, their device by the node's route to it, their
// network namespace by a process of the node's that lives in it.
func (b *build) findPods(ctx context.Context) ([]netns.ExternalNamespace, error) {
	var all []netns.ExternalNamespace
	for i := range b.plan.Pods {
		p := &b.plan.Pods[i]
		made, err := b.Client.CoreV1().Pods(metav1.NamespaceDefault).Get(ctx, p.Name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		address, err := netip.ParseAddr(made.Status.PodIP)
		if err != nil {
			return nil, fmt.Errorf("pod %s: %w", p.Name, err)
		}
		pod := seenPod{Address: address}
		if err := withConn(p.Node, b.pids[p.Node], pod.findDevice); err != nil {
			return nil, fmt.Errorf("pod %s: %w", p.Name, err)
		}
		namespace, err := pod.findNamespace(p, b.pids[p.Node])
		if err != nil {
			return nil, fmt.Errorf("pod %s: %w", p.Name, err)
		}
		b.seen.pods[p.Name] = pod
		all = append(all, namespace)
	}
	return all, nil
}

// findDevice reads the node's end of the pod's wire: the plugin ptp makes a route of its own to each pod.
func (p *seenPod) findDevice(node *rtnl.Conn) error {
	routes, err := node.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for _, r := range routes {
		if r.Dst == nil || r.Dst.String() != netip.PrefixFrom(p.Address, 32).String() {
			continue
		}
		device, err := node.LinkByIndex(r.LinkIndex)
		if err != nil {
			return err
		}
		p.HostDevice, p.HostMAC = device.Attrs().Name, topologies.HardwareAddr(device.Attrs().HardwareAddr)
		return nil
	}
	return fmt.Errorf("the node has no route to %v", p.Address)
}

// findNamespace looks among the processes of the node's container for one whose network namespace has the pod's address.
func (p *seenPod) findNamespace(pod *topologies.Pod, node int) (netns.ExternalNamespace, error) {
	seen := map[string]bool{}
	for _, pid := range descendants(node) {
		ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err != nil || seen[ns] {
			continue
		}
		seen[ns] = true
		has := false
		err = withConn(pod.Name, pid, func(conn *rtnl.Conn) error {
			device, err := conn.LinkByName("eth0")
			if err != nil {
				return err
			}
			addresses, err := conn.AddrList(device, netlink.FAMILY_V4)
			for _, a := range addresses {
				has = has || a.IP.Equal(p.Address.AsSlice())
			}
			p.MAC = topologies.HardwareAddr(device.Attrs().HardwareAddr)
			return err
		})
		if err == nil && has {
			return netns.NewExternalNamespace(pod.Name, pid, "")
		}
	}
	return netns.ExternalNamespace{}, errors.New("no process of its node is in a network namespace with its address")
}

// descendants are all processes below one, in the order of their numbers.
func descendants(root int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	parents := make(map[int]int)
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if parent, err := parentOf(pid); err == nil {
			parents[pid] = parent
			pids = append(pids, pid)
		}
	}
	var all []int
	for _, pid := range pids {
		for p := pid; p > 1; p = parents[p] {
			if p == root && pid != root {
				all = append(all, pid)
				break
			}
		}
	}
	return all
}

// parentOf reads field 4 of proc_pid_stat(5).
func parentOf(pid int) (int, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 2 {
		return 0, errors.New("unreadable /proc stat")
	}
	return strconv.Atoi(fields[1])
}
