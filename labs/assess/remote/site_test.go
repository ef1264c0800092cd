package remote

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dsrlab/dsrlab/labs/assess"
)

func service(name string, kind corev1.ServiceType, change func(*corev1.Service)) corev1.Service {
	s := corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", Annotations: map[string]string{"secret": "x"}}}
	s.Spec.Type, s.Spec.IPFamilies = kind, []corev1.IPFamily{corev1.IPv4Protocol}
	s.Spec.Ports = []corev1.ServicePort{{Port: 80, NodePort: 30080}, {Port: 53, Protocol: corev1.ProtocolUDP, NodePort: 30053}}
	change(&s)
	return s
}

func ingress(texts ...string) func(*corev1.Service) {
	return func(s *corev1.Service) {
		for _, text := range texts {
			s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: text})
		}
	}
}

func plain(*corev1.Service) {}

// snapshotOf is a cluster of two nodes, and a third one that is not ready.
func snapshotOf(services ...corev1.Service) *snapshot {
	gone := readyNode("gone", "10.1.0.3")
	gone.Status.Conditions = nil
	windows := readyNode("pane", "10.1.0.4")
	windows.Labels = map[string]string{corev1.LabelOSStable: "windows"}
	s := &snapshot{services: services, configMaps: map[string]map[string]string{}}
	s.choose([]corev1.Node{*readyNode("b", "10.1.0.2"), *gone, *readyNode("a", "10.1.0.1"), *windows})
	return s
}

func TestChoose(t *testing.T) {
	s := snapshotOf()
	require.Len(t, s.nodes, 2)
	assert.Equal(t, "a", s.nodes[0].Name)
	assert.Equal(t, []string{"node gone is left out: it is not ready", "node pane is left out: it runs windows"}, s.leftOut)
	assert.Equal(t, assess.Unread{Node: "gone", What: "the node's network", Why: "it is not ready"}, s.unread[0])
}

// Of many nodes some of each zone and kind are probed.
func TestLimit(t *testing.T) {
	var all []corev1.Node
	for i := range 10 {
		n := readyNode(fmt.Sprintf("n%d", i), fmt.Sprintf("10.1.0.%d", i+1))
		zone := "a"
		if i >= 8 {
			zone = "b"
		}
		n.Labels = map[string]string{corev1.LabelTopologyZone: zone}
		all = append(all, *n)
	}
	names := func(most int) (names []string, notes int) {
		s := &snapshot{}
		s.choose(slices.Clone(all))
		s.limit(most)
		for i := range s.nodes {
			names = append(names, s.nodes[i].Name)
		}
		assert.Len(t, s.all, 10, "which nodes there are is still known")
		assert.Len(t, s.leftOut, len(s.unread))
		return names, len(s.unread)
	}
	got, notes := names(4)
	assert.Equal(t, []string{"n0", "n1", "n8", "n9"}, got)
	assert.Equal(t, 1, notes)
	got, _ = names(5)
	assert.Equal(t, []string{"n0", "n1", "n2", "n8", "n9"}, got)
	for _, most := range []int{0, 10, 11} {
		got, notes = names(most)
		assert.Len(t, got, 10)
		assert.Zero(t, notes)
	}
}

// Clients call VIPs, addresses of nodes that serve as VIPs, and NodePorts; not what is no node's that is probed, UDP, or is not affected.
func TestFrontends(t *testing.T) {
	texts := func(all []assess.Frontend) []string {
		var texts []string
		for _, f := range all {
			texts = append(texts, fmt.Sprintf("%s %s %v %s", f.Service, f.Kind, f.Address, f.Node))
		}
		return texts
	}
	s := snapshotOf(
		service("inside", corev1.ServiceTypeClusterIP, plain),
		service("web", corev1.ServiceTypeLoadBalancer, ingress("198.51.100.80")),
		service("klipper", corev1.ServiceTypeLoadBalancer, ingress("10.1.0.1", "10.1.0.3")),
		service("external", corev1.ServiceTypeClusterIP, func(s *corev1.Service) {
			s.Spec.ExternalIPs = []string{"198.51.100.81"}
			s.Spec.Ports[0].NodePort = 0
		}),
		service("local", corev1.ServiceTypeNodePort, func(s *corev1.Service) { s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal }),
	)
	outside := s.outsideServices()
	assert.Len(t, outside, 4)
	assert.Empty(t, outside[0].Service.Annotations, "what is saved is what is judged")
	assert.Equal(t, []string{
		"shop/web vip 198.51.100.80:80 ", "shop/klipper node-address 10.1.0.1:80 a", "shop/external vip 198.51.100.81:80 ",
		"shop/web node-address 10.1.0.1:30080 a", "shop/web node-address 10.1.0.2:30080 b",
		"shop/klipper node-address 10.1.0.1:30080 a", "shop/klipper node-address 10.1.0.2:30080 b",
	}, texts(s.frontends(outside)))

	s = snapshotOf(service("ports", corev1.ServiceTypeNodePort, plain), service("web", corev1.ServiceTypeLoadBalancer, ingress("198.51.100.80")))
	for i := range s.nodes {
		own := s.nodes[i].Status.Addresses[0].Address
		s.nodes[i].Status.Addresses = append(s.nodes[i].Status.Addresses, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: []string{own, "192.0.2.9"}[i]})
	}
	assert.Equal(t, []string{
		"shop/web vip 198.51.100.80:80 ",
		"shop/ports node-address 10.1.0.1:30080 a", "shop/ports node-address 10.1.0.2:30080 b",
		"shop/web node-address 10.1.0.1:30080 a", "shop/web node-address 10.1.0.2:30080 b", "shop/ports node-address 192.0.2.9:30080 b",
	}, texts(s.frontends(s.outsideServices())), "an ExternalIP, if it is another, is what clients call without a VIP")

	assert.Equal(t, []string{" node-address 10.1.0.1:29696 a", " node-address 10.1.0.2:29696 b"}, texts(snapshotOf().frontends(nil)), "without services the nodes are called all the same")
}

// What services are called by is a VIP to the prober exactly if it is one to the judge: else the judge would miss probes with it as source.
func TestVIPs(t *testing.T) {
	local := func(s *corev1.Service) {
		ingress("198.51.100.70")(s)
		s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	}
	onlyUDP := func(s *corev1.Service) {
		ingress("198.51.100.53")(s)
		s.Spec.Ports = s.Spec.Ports[1:]
	}
	asked := func(s *corev1.Service) { s.Spec.LoadBalancerIP = "198.51.100.99" }
	for name, c := range map[string]struct {
		services []corev1.Service
		want     []string
	}{
		"node addresses":  {[]corev1.Service{service("klipper", corev1.ServiceTypeLoadBalancer, ingress("10.1.0.1", "10.1.0.3"))}, nil},
		"only local":      {[]corev1.Service{service("local", corev1.ServiceTypeLoadBalancer, local)}, nil},
		"not given":       {[]corev1.Service{service("asks", corev1.ServiceTypeLoadBalancer, asked)}, nil},
		"UDP comes later": {[]corev1.Service{service("dns", corev1.ServiceTypeLoadBalancer, onlyUDP), service("web", corev1.ServiceTypeLoadBalancer, ingress("198.51.100.80"))}, []string{"198.51.100.80", "198.51.100.53"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Session{seen: snapshotOf(c.services...)}
			outside := s.seen.outsideServices()
			var got []string
			for _, a := range s.seen.vips(s.seen.frontends(outside), outside) {
				got = append(got, a.String())
			}
			assert.Equal(t, c.want, got)

			o := &assess.Observations{Client: assess.Client{Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.2")}}, Services: outside}
			for _, n := range s.seen.nodes {
				own := netip.MustParsePrefix(n.Status.Addresses[0].Address + "/24")
				o.Nodes = append(o.Nodes, assess.Node{Name: n.Name, Addresses: []netip.Prefix{own}})
				o.Spoof = append(o.Spoof, assess.SpoofProbe{Node: n.Name, Source: own.Addr(), Kind: assess.SourceOwn, Protocol: assess.UDP, Sent: 4, Arrived: 4})
			}
			s.describe(o)
			misses := slices.ContainsFunc(assess.Diagnose(*o).Unknown, func(u assess.Unknown) bool { return strings.Contains(u.What, "the source of a VIP") })
			assert.Equal(t, c.want != nil, misses)
		})
	}
}

func TestEndpoints(t *testing.T) {
	s := snapshotOf(service("web", corev1.ServiceTypeNodePort, plain))
	yes, no, a, b := true, false, "a", "b"
	endpoint := func(pod string, node *string, ready *bool) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{Addresses: []string{"10.244.0.1"}, NodeName: node, TargetRef: &corev1.ObjectReference{Name: pod},
			Conditions: discoveryv1.EndpointConditions{Ready: ready}}
	}
	of := map[string]string{discoveryv1.LabelServiceName: "web"}
	four := discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Labels: of}, Endpoints: []discoveryv1.Endpoint{
		endpoint("w-0", &a, &yes), endpoint("w-1", &a, nil), endpoint("w-2", &b, &no), endpoint("w-3", &b, &yes),
	}}
	six, other := *four.DeepCopy(), *four.DeepCopy()
	other.Namespace = "other"
	s.slices, s.knowsEndpoints = []discoveryv1.EndpointSlice{four, six, other}, true
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "w-0", Namespace: "shop"}, Spec: corev1.PodSpec{Containers: []corev1.Container{
		{Ports: []corev1.ContainerPort{{HostPort: 8443}, {ContainerPort: 1}, {HostPort: 8080}}},
	}}}
	host := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "w-3", Namespace: "other"}, Spec: corev1.PodSpec{HostNetwork: true}}
	s.pods = []corev1.Pod{pod, host}
	got := s.outsideServices()[0]
	assert.Equal(t, map[string]int{"a": 2, "b": 1}, got.Endpoints)
	assert.Equal(t, []int32{8080, 8443}, got.HostPorts)
	assert.False(t, got.HostNetwork, "that is another namespace's pod")
	four.Endpoints = append(four.Endpoints, endpoint("by-hand", nil, nil))
	s.slices = []discoveryv1.EndpointSlice{four}
	assert.Nil(t, s.outsideServices()[0].Endpoints, "one is on a node that nobody names")
	s.slices, s.knowsEndpoints = nil, true
	assert.NotNil(t, s.outsideServices()[0].Endpoints, "it has no pod")
	s.knowsEndpoints = false
	assert.Nil(t, s.outsideServices()[0].Endpoints, "nobody knows")
}

// This machine is the client if it is no node, and leads to one.
func TestHere(t *testing.T) {
	seen := snapshotOf()
	nodes := seen.nodes
	h := Here{AddressTo: func(netip.Addr) (netip.Prefix, error) { return netip.MustParsePrefix("10.1.0.2/24"), nil }}
	require.EqualError(t, h.check(nodes, seen.all), "this machine is node b, and so can't be the client (run it on a machine outside of the cluster)")
	for own, want := range map[string]string{"10.1.0.3": "gone", "10.9.0.1": "a"} { // one that is not probed, and another address of one that is
		seen := snapshotOf()
		for i := range seen.all {
			if n := &seen.all[i]; n.Name == "a" {
				n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "10.9.0.1"})
			}
		}
		h := Here{AddressTo: func(to netip.Addr) (netip.Prefix, error) {
			if to.String() == own {
				return netip.PrefixFrom(to, 24), nil
			}
			return netip.MustParsePrefix("192.0.2.2/24"), nil // of another device
		}}
		require.ErrorContains(t, h.check(seen.nodes, seen.all), "this machine is node "+want+",")
	}
	h.AddressTo = func(netip.Addr) (netip.Prefix, error) { return netip.Prefix{}, errors.New("no route") }
	require.EqualError(t, h.check(nodes, seen.all), "this machine is the client, and has no route to any node: a: no route\nb: no route "+
		"(run it where the nodes' addresses can be reached: 10.1.0.1, 10.1.0.2)")
	h.AddressTo = func(to netip.Addr) (netip.Prefix, error) {
		if to == netip.MustParseAddr("10.1.0.1") {
			return netip.Prefix{}, errors.New("no route")
		}
		return netip.MustParsePrefix("192.0.2.2/24"), nil
	}
	require.NoError(t, h.check(nodes, seen.all))
	got, err := h.addresses(nodes)
	require.NoError(t, err)
	assert.Equal(t, []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24")}, got)
}

func TestAddressTo(t *testing.T) {
	got, err := addressTo(netip.MustParseAddr("127.0.0.2"))
	require.NoError(t, err)
	assert.Equal(t, netip.MustParsePrefix("127.0.0.1/8"), got)
}

// What forwards services and gives pods their network is told by its daemon sets and configurations, or by marks on the nodes.
func TestPlugins(t *testing.T) {
	set := func(name string) appsv1.DaemonSet {
		return appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 2}}
	}
	for name, c := range map[string]struct {
		sets        []string
		configMaps  map[string]map[string]string
		annotations map[string]string
		cni, proxy  string
	}{
		"nothing tells":  {nil, nil, nil, "", ""},
		"kind":           {[]string{"kindnet", "kube-proxy"}, map[string]map[string]string{"kube-proxy": {"config.conf": "mode: iptables\n"}}, nil, "kindnet", "kube-proxy, iptables"},
		"kubeadm":        {[]string{"kube-flannel-ds", "kube-proxy"}, map[string]map[string]string{"kube-proxy": {"config.conf": "kind: KubeProxyConfiguration\nmode: \"\"\n"}}, nil, "flannel", "kube-proxy, iptables"},
		"nftables":       {[]string{"calico-node", "kube-proxy"}, map[string]map[string]string{"kube-proxy": {"config.conf": "mode: nftables\n"}}, nil, "Calico", "kube-proxy, nftables"},
		"EKS":            {[]string{"aws-node", "kube-proxy"}, nil, nil, "AWS VPC CNI", "kube-proxy"},
		"unreadable":     {[]string{"kindnet", "kube-proxy"}, map[string]map[string]string{"kube-proxy": {"config.conf": "mode: [\n"}}, nil, "kindnet", "kube-proxy"},
		"Cilium":         {[]string{"cilium"}, map[string]map[string]string{"cilium-config": {"kube-proxy-replacement": "true", "bpf-lb-mode": "dsr"}}, nil, "Cilium", "Cilium, dsr"},
		"Cilium, beside": {[]string{"cilium", "kube-proxy"}, map[string]map[string]string{"cilium-config": {"kube-proxy-replacement": "false"}}, nil, "Cilium", "kube-proxy"},
		"dsrd, beside":   {[]string{"kindnet", "kube-proxy", "dsrd"}, nil, nil, "kindnet", "kube-proxy; dsrd"},
		"k3s":            {nil, nil, map[string]string{"flannel.alpha.coreos.com/backend-type": "vxlan"}, "flannel", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := &snapshot{configMaps: c.configMaps}
			for _, one := range c.sets {
				s.daemonSets = append(s.daemonSets, set(one))
			}
			assert.Equal(t, c.cni, s.cniOf(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Annotations: c.annotations}}))
			assert.Equal(t, c.proxy, s.proxyOf())
		})
	}
	var names []string
	for _, p := range plugins() {
		names = append(names, p.daemonSets...)
	}
	slices.Sort(names)
	assert.Equal(t, slices.Compact(slices.Clone(names)), names, "each daemon set is of one plugin")
}

// What the API server says of a node is in the observations.
func TestDescribe(t *testing.T) {
	s := &Session{seen: snapshotOf()}
	n := &s.seen.nodes[0]
	n.Spec.ProviderID, n.Labels = "aws:///eu-1a/i-1", map[string]string{"eks.amazonaws.com/nodegroup": "x"}
	n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: "198.51.100.9"},
		corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: "10.1.0.1"})
	o := &assess.Observations{Nodes: []assess.Node{{Name: "a"}, {Name: "b"}}}
	s.describe(o)
	assert.Equal(t, []netip.Addr{netip.MustParseAddr("198.51.100.9")}, o.Nodes[0].ExternalAddresses)
	assert.Equal(t, "aws:///eu-1a/i-1", o.Nodes[0].ProviderID)
	assert.Len(t, o.Unread, 2)
	assert.Equal(t, "not known", o.Nodes[0].CNI)
	assert.Equal(t, "AWS EC2", assess.Diagnose(assess.Observations{Schema: assess.Schema, Nodes: o.Nodes[:1]}).Provider)
}
