package kind

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/dsrlab/dsrlab/internal/words"
	"github.com/dsrlab/dsrlab/topologies"
)

// lastResort is a metric behind every route that someone means to be used: that of the node agent's own unreachable routes.
const lastResort = 4278198272

// refuseFile is where a node finds what it does before its container runtime starts.
const refuseFile = "/etc/systemd/system/containerd.service.d/00-dsrlab.conf"

// refusePath is where the lab keeps that file.
func refusePath(labDir string) string { return filepath.Join(labDir, "refuse.conf") }

// refuseUnit makes prefixes unreachable before the container runtime starts, at every start of the node: no pod can run before.
func refuseUnit(prefixes ...netip.Prefix) string {
	var s strings.Builder
	s.WriteString("# Without kube-proxy and CNI, packets to addresses that no one has would follow the default route out.\n[Service]\n")
	for _, p := range prefixes {
		fmt.Fprintf(&s, "ExecStartPre=ip route replace unreachable %s metric %d\n", p, uint32(lastResort))
	}
	return s.String()
}

// kubeletPatch lets kubelet of Kubernetes 1.35 and later run on a machine with cgroup v1, which it refuses by default (KEP-5573).
const kubeletPatch = `kind: KubeletConfiguration
apiVersion: kubelet.config.k8s.io/v1beta1
failCgroupV1: false
`

// configOf is what kind is asked for: a control plane, and a worker for each of the plan's LB and pod nodes, in their order.
func configOf(plan *topologies.Plan, name, image, refuse string) *v1alpha4.Cluster {
	mount := v1alpha4.Mount{HostPath: refuse, ContainerPath: refuseFile, Readonly: true}
	c := &v1alpha4.Cluster{
		TypeMeta: v1alpha4.TypeMeta{Kind: "Cluster", APIVersion: "kind.x-k8s.io/v1alpha4"},
		Name:     name,
		Networking: v1alpha4.Networking{
			IPFamily: v1alpha4.IPv4Family, APIServerAddress: "127.0.0.1",
			PodSubnet: PodCIDR.String(), ServiceSubnet: ServiceCIDR.String(),
			DisableDefaultCNI: true, KubeProxyMode: "none",
		},
		Nodes:                []v1alpha4.Node{{Role: v1alpha4.ControlPlaneRole, Image: image, ExtraMounts: []v1alpha4.Mount{mount}}},
		KubeadmConfigPatches: []string{kubeletPatch},
	}
	for _, n := range plan.ClusterNodes() {
		labels := map[string]string{nodeLabel: n.Name}
		maps.Copy(labels, n.Labels)
		c.Nodes = append(c.Nodes, v1alpha4.Node{
			Role: v1alpha4.WorkerRole, Image: image, Labels: labels, ExtraMounts: []v1alpha4.Mount{mount},
		})
	}
	return c
}

// networkOf is the name of the network that all of the plan's LB and pod nodes are in.
func networkOf(plan *topologies.Plan) string {
	for _, n := range plan.ClusterNodes() {
		return n.Network
	}
	return ""
}

// check returns everything about a plan that a kind cluster cannot have.
func check(plan *topologies.Plan) error {
	var errs []error
	network := networkOf(plan)
	if network == "" {
		errs = append(errs, errors.New("nodes: none is of role lb or worker"))
	}
	for _, n := range plan.ClusterNodes() {
		if n.Network != network {
			errs = append(errs, fmt.Errorf("node %s: it is in network %s and others in %s, and the nodes of a kind cluster are all in one", n.Name, n.Network, network))
		}
	}
	for _, n := range plan.Nodes {
		if len(n.Addresses) > 1 || !n.Addresses[0].Addr().Is4() {
			errs = append(errs, fmt.Errorf("node %s: its addresses are %s, and a kind cluster is made for IPv4 alone", n.Name, words.List(n.Addresses)))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("topology %s on substrate kind:\n%w", plan.Name, err)
	}
	return nil
}
