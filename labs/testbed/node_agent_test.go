package testbed

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/topologies"
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
func (tb *Testbed) agentObjects(t *testing.T, host string, without ...string) []byte {
	t.Helper()
	var documents [][]byte
	add := func(object any, kind, version string) {
		document, err := yaml.Marshal(object)
		require.NoError(t, err)
		documents = append(documents, fmt.Appendf(document, "kind: %s\napiVersion: %s\n", kind, version))
	}
	for _, service := range tb.plan.Services {
		service.TypeMeta = metav1.TypeMeta{}
		add(service, "Service", "v1")
	}
	for _, slice := range tb.plan.EndpointSlices {
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
func (tb *Testbed) startNodeAgent(t *testing.T, dsrd, node, objects string) (pid int) {
	t.Helper()
	return tb.startAgentWith(t, dsrd, node, objects, agentConfig)
}

func (tb *Testbed) startAgentWith(t *testing.T, dsrd, node, objects, configuration string) (pid int) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(config, []byte(configuration), 0o600))
	pins, err := tb.network.BPFDir(node)
	require.NoError(t, err)
	address := tb.addressOf(t, node)
	pid, err = tb.network.Start(t.Context(), node, netns.Process{Name: "agent-" + node, Argv: []string{
		dsrd, "--node", node, "--config", config, "--objects", objects, "--pins", pins, "--metrics", net.JoinHostPort(address, "9964"),
	}})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return tb.network.Do(node, func() error {
			conn, err := net.DialTimeout("tcp", net.JoinHostPort(address, "9964"), time.Second)
			if err == nil {
				conn.Close()
			}
			return err
		}) == nil
	}, 2*patience, 20*time.Millisecond, "%s", readLog(tb, "agent-"+node))
	require.Eventually(t, func() bool {
		status, _ := tb.get(t, node, "http://"+net.JoinHostPort(address, "9964")+"/healthz")
		return status == 200
	}, patience, 20*time.Millisecond, "%s", readLog(tb, "agent-"+node))
	return pid
}

func (tb *Testbed) nodeOf(t *testing.T, name string) topologies.Node {
	t.Helper()
	i := slices.IndexFunc(tb.ClusterNodes(), func(n topologies.Node) bool { return n.Name == name })
	require.GreaterOrEqual(t, i, 0, name)
	return tb.ClusterNodes()[i]
}

func (tb *Testbed) addressOf(t *testing.T, node string) string {
	t.Helper()
	return tb.nodeOf(t, node).Addresses[0].Addr().String()
}

func readLog(tb *Testbed, name string) string {
	text, _ := os.ReadFile(filepath.Join(tb.network.Dir(), "logs", name+".log"))
	return string(text)
}

// TestNodeAgent: dsrd on every node, from objects in a file: real traffic by DSR, a change of the endpoints, a backend that is a
// node's own process, and its end, kill and restart under load without a lost connection.
func TestNodeAgent(t *testing.T) {
	dsrd := testLabs.Program(t, "dsrd")
	tb, to := linesStand(t, nil)
	objects := filepath.Join(t.TempDir(), "objects.yaml")
	host := tb.plan.Pods[0].Node
	putFile(t, objects, tb.agentObjects(t, host))
	pids := map[string]int{}
	for _, n := range tb.ClusterNodes() {
		pids[n.Name] = tb.startNodeAgent(t, dsrd, n.Name, objects)
	}
	answer := func(pods int) {
		t.Helper()
		require.Len(t, tb.answering(t, "client", to, pods), pods)
	}
	answer(len(tb.plan.Pods))
	assert.NotZero(t, labtest.Count(t, tb, "to-overlay-dsr"))
	assert.NotZero(t, labtest.Count(t, tb, "reply-direct"))

	t.Run("a node's own process as backend", func(t *testing.T) {
		var listener net.Listener
		require.NoError(t, tb.network.Do(host, func() (err error) {
			listener, err = net.Listen("tcp", net.JoinHostPort(tb.addressOf(t, host), "7443"))
			return err
		}))
		defer listener.Close()
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go answerLines(conn, conn.RemoteAddr().(*net.TCPAddr).IP.String())
			}
		}()
		for _, p := range tb.plan.Pods { // of this node, whose answer passes no device to the fabric, and of others
			assert.Equal(t, p.Addresses[0].String(), strings.TrimSpace(tb.call(t, p.Name, hostService).ask(t)), p.Name)
		}
		client := tb.plan.Nodes[slices.IndexFunc(tb.plan.Nodes, func(n topologies.Node) bool { return n.Name == "client" })]
		for _, n := range tb.ClusterNodes() {
			seen := n.Addresses[0].Addr()
			if n.Name == host { // where its own address can't come in
				seen = hostService.Addr()
			}
			assert.Equal(t, seen.String(), strings.TrimSpace(tb.call(t, n.Name, hostService).ask(t)), "a process of %s", n.Name)
			nodePort := netip.AddrPortFrom(n.Addresses[0].Addr(), hostPort)
			assert.Equal(t, client.Addresses[0].Addr().String(), strings.TrimSpace(tb.call(t, "client", nodePort).ask(t)), "by %s", n.Name)
			assert.Equal(t, n.Addresses[0].Addr().String(), strings.TrimSpace(tb.call(t, n.Name, nodePort).ask(t)), "a process of %s, at its own", n.Name)
		}
		direct := netip.AddrPortFrom(tb.nodeOf(t, host).Addresses[0].Addr(), 7443)
		assert.Equal(t, client.Addresses[0].Addr().String(), strings.TrimSpace(tb.call(t, "client", direct).ask(t)), "past the service")
	})

	t.Run("restart under load", func(t *testing.T) {
		c := tb.call(t, "client", to)
		name := c.ask(t)
		for _, n := range tb.ClusterNodes() {
			signal := syscall.SIGTERM
			if n.Name == host {
				signal = syscall.SIGKILL
			}
			require.NoError(t, syscall.Kill(pids[n.Name], signal))
			require.Eventually(t, func() bool { return syscall.Kill(pids[n.Name], 0) != nil }, patience, 10*time.Millisecond)
			assert.Equal(t, name, c.ask(t), "without an agent")
			tb.call(t, "client", to).ask(t)
			tb.startNodeAgent(t, dsrd, n.Name, objects)
			assert.Equal(t, name, c.ask(t), "with the next one")
		}
	})

	t.Run("a change of the endpoints", func(t *testing.T) {
		gone := tb.plan.Pods[0]
		putFile(t, objects, tb.agentObjects(t, host, gone.Addresses[0].String()))
		told := func(want bool) { // a connection to the pod that goes would break
			for _, n := range tb.ClusterNodes() {
				require.Eventually(t, func() bool { return tb.hasBackend(t, n.Name, to, gone.Addresses[0]) == want }, patience, 10*time.Millisecond, n.Name)
			}
		}
		told(false)
		answer(len(tb.plan.Pods) - 1)
		putFile(t, objects, tb.agentObjects(t, host))
		told(true)
		answer(len(tb.plan.Pods))
	})

	t.Run("a file with errors changes nothing", func(t *testing.T) {
		putFile(t, objects, []byte("kind: Pod\napiVersion: v1\n"))
		require.Eventually(t, func() bool {
			return bytes.Contains([]byte(readLog(tb, "agent-"+host)), []byte("must be Service, EndpointSlice, Node or List"))
		}, patience, 20*time.Millisecond)
		answer(len(tb.plan.Pods))
	})
}
