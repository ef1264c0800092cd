package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/topologies/objects"
)

// snapshot is what the API server says of the cluster before anything is made.
type snapshot struct {
	version  string
	all      []corev1.Node // by their names
	nodes    []corev1.Node // those of all that are probed
	services []corev1.Service
	slices   []discoveryv1.EndpointSlice
	// knowsEndpoints reports whether the slices could be read.
	knowsEndpoints bool
	pods           []corev1.Pod
	daemonSets     []appsv1.DaemonSet
	configMaps     map[string]map[string]string // of kube-system, by their names
	leftOut        []string                     // nodes that are not probed, with the reason
	unread         []assess.Unread
}

// look reads the cluster's objects. What may not be read, other than nodes, is in the snapshot's unread.
func look(ctx context.Context, client kubernetes.Interface, maxNodes int) (*snapshot, error) {
	version, err := client.Discovery().ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	s := &snapshot{version: version.GitVersion, configMaps: map[string]map[string]string{}}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) {
		return nil, &LackingError{What: "this user may not list nodes", Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("list the cluster's nodes: %w", err)
	}
	s.choose(nodes.Items)
	s.limit(maxNodes)
	if len(s.nodes) == 0 {
		return nil, &LackingError{What: "the cluster has no node to probe", Err: errors.New(cmp.Or(strings.Join(s.leftOut, "; "), "it has no nodes"))}
	}
	if !s.read("the cluster's services", func() error {
		list, err := client.CoreV1().Services(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
		if err == nil {
			s.services = list.Items
		}
		return err
	}) {
		s.unread[len(s.unread)-1].Needed = true // a network may be right for some of them, and wrong for others
	}
	s.knowsEndpoints = s.read("endpoints of services", func() error {
		list, err := client.DiscoveryV1().EndpointSlices(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
		if err == nil {
			s.slices = list.Items
		}
		return err
	})
	s.read("host ports of services", func() error {
		list, err := client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
		if err == nil {
			s.pods = list.Items
		}
		return err
	})
	s.lookForPlugins(ctx, client)
	s.resolve(ctx)
	return s, context.Cause(ctx)
}

// read reads something, or notes why it can't be read, and reports whether it could.
func (s *snapshot) read(what string, read func() error) bool {
	err := read()
	if err != nil {
		s.unread = append(s.unread, assess.Unread{What: what, Why: err.Error()})
	}
	return err == nil
}

// choose takes the nodes that an agent can run on.
func (s *snapshot) choose(all []corev1.Node) {
	slices.SortFunc(all, func(a, b corev1.Node) int { return cmp.Compare(a.Name, b.Name) })
	s.all = all
	for i := range all {
		n := &all[i]
		why := ""
		switch os := cmp.Or(n.Labels[corev1.LabelOSStable], n.Status.NodeInfo.OperatingSystem, "linux"); {
		case os != "linux":
			why = "it runs " + os
		case !objects.NodeIsReady(n):
			why = "it is not ready"
		case !addressOf(n, corev1.NodeInternalIP, false).IsValid() && !addressOf(n, corev1.NodeInternalIP, true).IsValid():
			why = "it has no InternalIP"
		default:
			s.nodes = append(s.nodes, *n)
			continue
		}
		s.leftOut = append(s.leftOut, fmt.Sprintf("node %s is left out: %s", n.Name, why))
		s.unread = append(s.unread, assess.Unread{Node: n.Name, What: "the node's network", Why: why})
	}
}

// limit leaves out nodes over a number, 0 for none: each pair of nodes takes a part of a second. Those that stay are of as many zones and
// kinds of machines as can be, as what differs between nodes' networks mostly goes with these.
func (s *snapshot) limit(most int) {
	more := len(s.nodes) - most
	if most == 0 || more <= 0 {
		return
	}
	groups := map[string][]corev1.Node{}
	for _, n := range s.nodes {
		key := n.Labels[corev1.LabelTopologyZone] + "/" + n.Labels[corev1.LabelInstanceTypeStable]
		groups[key] = append(groups[key], n)
	}
	keys := slices.Sorted(maps.Keys(groups))
	var kept []corev1.Node
	for round := 0; len(kept) < most; round++ {
		for _, key := range keys {
			if round < len(groups[key]) && len(kept) < most {
				kept = append(kept, groups[key][round])
			}
		}
	}
	slices.SortFunc(kept, func(a, b corev1.Node) int { return cmp.Compare(a.Name, b.Name) })
	s.nodes = kept
	s.leftOut = append(s.leftOut, fmt.Sprintf("%d of %d nodes are probed (--max-nodes)", most, most+more))
	s.unread = append(s.unread, assess.Unread{What: fmt.Sprintf("the networks of %d more nodes", more), Why: fmt.Sprintf("only %d are probed (--max-nodes)", most)})
}

// resolve finds the addresses of load balancers that services name by a host name, as those of AWS.
func (s *snapshot) resolve(ctx context.Context) {
	for i := range s.services {
		ingress := s.services[i].Status.LoadBalancer.Ingress
		for k := range ingress {
			if ingress[k].IP != "" || ingress[k].Hostname == "" {
				continue
			}
			found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", ingress[k].Hostname)
			if err != nil || len(found) == 0 {
				s.unread = append(s.unread, assess.Unread{What: "the address of " + ingress[k].Hostname, Why: fmt.Sprint(err)})
				continue
			}
			ingress[k].IP = found[0].Unmap().String()
		}
	}
}
