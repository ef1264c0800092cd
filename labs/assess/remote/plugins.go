package remote

import (
	"cmp"
	"context"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

// Configurations in kube-system that say how services are forwarded.
const (
	kubeProxyConfig = "kube-proxy"
	ciliumConfig    = "cilium-config"
)

// lookForPlugins reads what tells of network plugins and service proxies.
func (s *snapshot) lookForPlugins(ctx context.Context, client kubernetes.Interface) {
	s.read("daemon sets, which tell of the network plugin and the service proxy", func() error {
		list, err := client.AppsV1().DaemonSets(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
		if err != nil { // perhaps it may be done in one namespace
			list, err = client.AppsV1().DaemonSets(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{})
		}
		if err == nil {
			s.daemonSets = list.Items
		}
		return err
	})
	for _, name := range []string{kubeProxyConfig, ciliumConfig} {
		s.read("configuration "+name, func() error {
			found, err := client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			if err == nil {
				s.configMaps[name] = found.Data
			}
			return err
		})
	}
}

// plugin is what a network plugin is known by.
type plugin struct {
	name string
	// daemonSets are names of its daemon sets; labels values of their label k8s-app; annotations names that its nodes have.
	daemonSets, labels, annotations []string
}

// plugins are the network plugins that are known, those first that others are used beside.
func plugins() []plugin {
	return []plugin{
		{name: "Cilium", daemonSets: []string{"cilium", "anetd"}, labels: []string{"cilium"}, annotations: []string{"network.cilium.io/ipv4-pod-cidr", "network.cilium.io/ipv6-pod-cidr"}},
		{name: "Canal", daemonSets: []string{"canal", "rke2-canal"}},
		{name: "Calico", daemonSets: []string{"calico-node"}, labels: []string{"calico-node"}, annotations: []string{"projectcalico.org/IPv4Address", "projectcalico.org/IPv6Address"}},
		{name: "Antrea", daemonSets: []string{"antrea-agent"}},
		{name: "OVN-Kubernetes", daemonSets: []string{"ovnkube-node"}, annotations: []string{"k8s.ovn.org/node-subnets"}},
		{name: "Kube-OVN", daemonSets: []string{"kube-ovn-cni"}},
		{name: "kube-router", daemonSets: []string{"kube-router"}, labels: []string{"kube-router"}},
		{name: "Weave Net", daemonSets: []string{"weave-net"}},
		{name: "AWS VPC CNI", daemonSets: []string{"aws-node"}},
		{name: "Azure CNI", daemonSets: []string{"azure-cns"}},
		{name: "flannel", daemonSets: []string{"kube-flannel-ds", "kube-flannel"}, labels: []string{"flannel"}, annotations: []string{"flannel.alpha.coreos.com/backend-type"}},
		{name: "kindnet", daemonSets: []string{"kindnet"}},
		{name: "dsrd", daemonSets: []string{"dsrd"}},
	}
}

// cniOf names the network plugin of a node; empty where nothing tells.
func (s *snapshot) cniOf(n *corev1.Node) string {
	for _, p := range plugins() {
		if slices.ContainsFunc(s.daemonSets, func(d appsv1.DaemonSet) bool { return runs(&d, p) }) {
			return p.name
		}
	}
	for _, p := range plugins() {
		for _, annotation := range p.annotations {
			if _, ok := n.Annotations[annotation]; ok {
				return p.name
			}
		}
	}
	return ""
}

func runs(d *appsv1.DaemonSet, p plugin) bool {
	return d.Status.DesiredNumberScheduled > 0 && (slices.Contains(p.daemonSets, d.Name) || slices.Contains(p.labels, d.Labels["k8s-app"]))
}

// proxyOf names the service proxy of the nodes and its mode; empty where nothing tells. Several are separated by commas: dsrd may forward
// some services beside another.
func (s *snapshot) proxyOf() string {
	has := func(name string) bool {
		return slices.ContainsFunc(s.daemonSets, func(d appsv1.DaemonSet) bool {
			return runs(&d, plugin{daemonSets: []string{name}, labels: []string{name}})
		})
	}
	var all []string
	switch cilium := s.configMaps[ciliumConfig]; {
	case (has("cilium") || has("anetd")) && slices.Contains([]string{"true", "strict"}, cilium["kube-proxy-replacement"]):
		all = append(all, "Cilium, "+cmp.Or(cilium["bpf-lb-mode"], "snat"))
	case has("ovnkube-node"):
		all = append(all, "OVN-Kubernetes")
	case has("kube-router") && !has("kube-proxy"):
		all = append(all, "kube-router, ipvs")
	}
	if has("kube-proxy") {
		all = append(all, "kube-proxy"+s.kubeProxyMode())
	}
	if has("dsrd") {
		all = append(all, "dsrd")
	}
	return strings.Join(all, "; ")
}

// kubeProxyMode is kube-proxy's, behind a comma, as far as its configuration is where kubeadm keeps it.
func (s *snapshot) kubeProxyMode() string {
	text, ok := s.configMaps[kubeProxyConfig]["config.conf"]
	if !ok {
		text, ok = s.configMaps[kubeProxyConfig]["config"]
	}
	var config struct {
		Mode string `json:"mode"`
	}
	if !ok || yaml.Unmarshal([]byte(text), &config) != nil {
		return ""
	}
	return ", " + cmp.Or(config.Mode, "iptables") // its default on Linux
}
