package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

const agentConfig = `apiVersion: dsrlab.dev/v1alpha1
kind: AgentConfig
device: eth0
`

// hostService is a ClusterIP whose only endpoint is a node's own process, as that of the API server is, and hostPort its NodePort.
var hostService = netip.MustParseAddrPort("172.20.99.1:443")

const hostPort = 30443

// agentObjects are the plan's services and nodes, as a cluster would have them, and hostService at the named node.
func (tb *cluster) agentObjects(t *testing.T, host string, without ...string) []byte {
	t.Helper()
	var documents [][]byte
	add := func(object any, kind, version string) {
		document, err := yaml.Marshal(object)
		require.NoError(t, err)
		documents = append(documents, fmt.Appendf(document, "kind: %s\napiVersion: %s\n", kind, version))
	}
	for _, service := range tb.Plan().Services {
		service.TypeMeta = metav1.TypeMeta{}
		add(service, "Service", "v1")
	}
	for _, slice := range tb.Plan().EndpointSlices {
		slice.TypeMeta = metav1.TypeMeta{}
		slice.Endpoints = slices.DeleteFunc(slices.Clone(slice.Endpoints), func(e discoveryv1.Endpoint) bool {
			return e.TargetRef != nil && slices.Contains(without, e.TargetRef.Name) || slices.Contains(without, e.Addresses[0])
		})
		add(slice, "EndpointSlice", "discovery.k8s.io/v1")
	}
	for _, n := range tb.ClusterNodes() {
		node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: n.Labels}}
		for _, a := range n.Addrs() {
			node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a.String()})
		}
		for _, cidr := range n.PodCIDRs {
			node.Spec.PodCIDRs = append(node.Spec.PodCIDRs, cidr.String())
		}
		add(node, "Node", "v1")
		if n.Name == host {
			documents = append(documents, fmt.Appendf(nil, `kind: Service
apiVersion: v1
metadata: {name: host, namespace: default}
spec:
  type: NodePort
  clusterIP: %s
  ports: [{port: %d, targetPort: 7443, nodePort: %d, protocol: TCP}]
---
kind: EndpointSlice
apiVersion: discovery.k8s.io/v1
metadata: {name: host, namespace: default, labels: {kubernetes.io/service-name: host}}
addressType: IPv4
ports: [{name: "", port: 7443, protocol: TCP}]
endpoints: [{addresses: [%q]}]
`, hostService.Addr(), hostService.Port(), hostPort, n.Addresses[0].Addr()))
		}
	}
	return bytes.Join(documents, []byte("---\n"))
}

// putFile replaces a file in one step.
func putFile(t *testing.T, file string, data []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(file+".new", data, 0o600))
	require.NoError(t, os.Rename(file+".new", file))
}

// startNodeAgent runs dsrd on a node, as an agent that reads its objects from a file, and waits until it is ready.
func (tb *cluster) startNodeAgent(t *testing.T, dsrd, node, objects string) (pid int) {
	t.Helper()
	return tb.startAgentWith(t, dsrd, node, objects, agentConfig)
}

func (tb *cluster) startAgentWith(t *testing.T, dsrd, node, objects, configuration string) (pid int) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(config, []byte(configuration), 0o600))
	pins, err := tb.Network().BPFDir(node)
	require.NoError(t, err)
	address := tb.addressOf(t, node)
	pid, err = tb.Network().Start(t.Context(), node, netns.Process{Name: "agent-" + node, Argv: []string{
		dsrd, "--node", node, "--config", config, "--objects", objects, "--pins", pins, "--metrics", net.JoinHostPort(address, "9964"),
	}})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return tb.Network().Do(node, func() error {
			conn, err := net.DialTimeout("tcp", net.JoinHostPort(address, "9964"), time.Second)
			if err == nil {
				conn.Close()
			}
			return err
		}) == nil
	}, 2*labtest.Patience, 20*time.Millisecond, "%s", readLog(tb, "agent-"+node))
	require.Eventually(t, func() bool {
		status, _ := tb.get(t, node, "http://"+net.JoinHostPort(address, "9964")+"/healthz")
		return status == 200
	}, labtest.Patience, 20*time.Millisecond, "%s", readLog(tb, "agent-"+node))
	return pid
}

func readLog(tb *cluster, name string) string {
	text, _ := os.ReadFile(filepath.Join(tb.Network().Dir(), "logs", name+".log"))
	return string(text)
}
