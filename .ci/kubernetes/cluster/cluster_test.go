package cluster

import (
	"context"

	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// client is where the control plane runs, and whoever uses it.
const client = "client"

const apiPort = 6443

// cluster is a Kubernetes cluster on the nodes of a testbed.
type cluster struct {
	*testbed.Testbed
	programs
	ca *authority
	// admin is the kubeconfig of a user who may do everything, from the client's namespace.
	admin string
	api   *kubernetes.Clientset
}

// up builds a topology, and makes its nodes a cluster, with a network of pods or without.
func up(t *testing.T, topology string, network bool) *cluster {
	t.Helper()
	needs(t)
	c := &cluster{programs: build(t)}
	found, err := topologies.Lookup(topology)
	require.NoError(t, err)
	plan, err := topologies.PlanOf(found)
	require.NoError(t, err)
	c.Testbed, _, err = testbed.Up(t.Context(), plan, testbed.Options{StateDir: t.TempDir(), Name: "kubernetes", LabPod: c.labpod})
	require.NoError(t, err)
	t.Cleanup(func() { c.down(t) })
	c.ca = newAuthority(t, t.TempDir())
	c.admin = filepath.Join(t.TempDir(), "admin")
	c.startControlPlane(t)
	c.startNodes(t, network)
	return c
}

// needs skips where something is missing that can't be built.
func needs(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces, and runs containers")
	}
	for _, program := range []string{"containerd", "ctr", "runc", "nft"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs containerd, runc and nftables: %v", err)
		}
	}
}

func (c *cluster) down(t *testing.T) {
	t.Helper()
	if t.Failed() {
		c.printLogs(t)
	}
	assert.NoError(t, c.Down(context.Background()))
	removeGroups(t)
}

// printLogs prints the last lines of each program, and what the cluster says of its pods.
func (c *cluster) printLogs(t *testing.T) {
	t.Helper()
	const last = 5
	logs, _ := filepath.Glob(filepath.Join(c.Network().Dir(), "logs", "*"))
	for _, file := range logs {
		data, _ := os.ReadFile(file)
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		t.Logf("%s:\n%s", filepath.Base(file), strings.Join(lines[max(0, len(lines)-last):], "\n"))
	}
	if c.api == nil {
		return
	}
	events, err := c.api.CoreV1().Events("").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		return
	}
	for _, e := range events.Items {
		if e.Type != corev1.EventTypeNormal {
			t.Logf("%s %s/%s: %s", e.InvolvedObject.Kind, e.InvolvedObject.Namespace, e.InvolvedObject.Name, e.Message)
		}
	}
}

// start starts a program of Kubernetes in a namespace.
func (c *cluster) start(t *testing.T, place string, argv ...string) {
	t.Helper()
	_, err := c.Network().Start(t.Context(), place, netns.Process{Name: place + "-" + argv[0], Argv: append([]string{c.k8s}, argv...)})
	require.NoError(t, err)
}

// apiAddress is where the API server listens.
func (c *cluster) apiAddress() netip.Addr {
	return c.Plan().Node(client).Addresses[0].Addr()
}

// connect returns the way to the API server, from this process's namespace.
func (c *cluster) connect(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", c.admin)
	require.NoError(t, err)
	config.QPS, config.Burst = 1000, 1000
	config.Dial = func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = c.Network().Do(client, func() error {
			conn, err = new(net.Dialer).DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
	api, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	return api
}

// startNodes starts kubelet and containerd on all nodes, and waits until they are ready; without a network of pods they are not.
func (c *cluster) startNodes(t *testing.T, network bool) {
	t.Helper()
	makeGroups(t, c.ClusterNodes())
	for _, n := range c.ClusterNodes() {
		c.register(t, n)
		folder := filepath.Join(c.Network().Dir(), "machines", n.Name)
		writeMachine(t, folder, c.programs, c.ca, n, network)
		c.ca.user(t, filepath.Join(folder, "kubeconfig"), c.server(), "system:node:"+n.Name, "system:nodes")
		argv := []string{"unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "./node.sh", folder, c.programs.folder, c.k8s}
		_, err := c.Network().Start(t.Context(), n.Name, netns.Process{Name: n.Name + "-machine", Argv: argv})
		require.NoError(t, err)
	}
	require.EventuallyWithT(t, func(e *assert.CollectT) {
		nodes, err := c.api.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
		require.NoError(e, err)
		for _, n := range nodes.Items {
			if network {
				assert.Equal(e, corev1.ConditionTrue, ready(&n), n.Name)
			} else {
				assert.NotEmpty(e, n.Status.Addresses, n.Name)
			}
		}
	}, 3*time.Minute, 200*time.Millisecond)
}

func ready(n *corev1.Node) corev1.ConditionStatus {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status
		}
	}
	return corev1.ConditionUnknown
}

// register makes the node's object, with the CIDRs that the fabric routes to it.
func (c *cluster) register(t *testing.T, n topologies.Node) {
	t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: map[string]string{corev1.LabelHostname: n.Name}}}
	for _, cidr := range n.PodCIDRs {
		node.Spec.PodCIDRs = append(node.Spec.PodCIDRs, cidr.String())
	}
	node.Spec.PodCIDR = node.Spec.PodCIDRs[0]
	_, err := c.api.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{})
	require.NoError(t, err)
}
