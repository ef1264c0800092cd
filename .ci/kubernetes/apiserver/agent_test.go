package apiserver

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

const apiPort = "6443"

// cluster is a lab whose nodes run dsrd, which knows of services from a real API server only.
type cluster struct {
	*testbed.Testbed
	dsrd, config, kubeconfig string
	client                   *kubernetes.Clientset
	door                     *door
	pids                     map[string]int
	vip                      netip.AddrPort
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	folder := t.TempDir()
	build := exec.Command("go", "build", "-o", folder, "./cmd/dsrd", "./cmd/labpod")
	build.Dir = "../../.." // with the product's dependencies
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	topology, err := topologies.Lookup("five-nodes")
	require.NoError(t, err)
	plan, err := topologies.PlanOf(topology)
	require.NoError(t, err)
	state := t.TempDir()
	s, _, err := testbed.Up(t.Context(), plan, testbed.Options{StateDir: state, Name: "apiserver", LabPod: filepath.Join(folder, "labpod"), Agent: filepath.Join(folder, "dsrd")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Down(context.Background())) })

	api := serve(t, "--service-cluster-ip-range=10.96.0.0/12").ClientConfig
	c := &cluster{Testbed: s, dsrd: filepath.Join(folder, "dsrd"), client: clientOf(t, api), pids: map[string]int{}}
	gateway := net.JoinHostPort(c.ClusterNodes()[0].Gateways[0].String(), apiPort)
	host, err := apiHost(api.Host)
	require.NoError(t, err)
	c.door = &door{to: host, listen: func() (l net.Listener, err error) {
		err = s.Network().Do(netns.Fabric, func() error {
			l, err = net.Listen("tcp", gateway)
			return err
		})
		return l, err
	}}
	t.Cleanup(c.door.Shut)
	c.kubeconfig = kubeconfig(t, api, gateway)
	c.config = filepath.Join(folder, "config.yaml")
	require.NoError(t, os.WriteFile(c.config, []byte("apiVersion: dsrlab.dev/v1alpha1\nkind: AgentConfig\ndevice: eth0\n"), 0o600))
	c.vip = netip.AddrPortFrom(netip.MustParseAddr(plan.Services[0].Status.LoadBalancer.Ingress[0].IP), 8080)
	return c
}

func apiHost(url string) (string, error) {
	host := strings.TrimPrefix(url, "https://")
	if _, _, err := net.SplitHostPort(host); err != nil {
		return "", fmt.Errorf("API server at %q: %w", url, err)
	}
	return host, nil
}

// create puts the plan's objects into the API server.
func (c *cluster) create(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	require.Eventually(t, func() bool {
		_, err := c.client.CoreV1().Namespaces().Get(ctx, "default", metav1.GetOptions{})
		return err == nil
	}, 30*time.Second, 50*time.Millisecond)
	for _, n := range c.ClusterNodes() {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name}}
		for _, cidr := range n.PodCIDRs {
			node.Spec.PodCIDRs = append(node.Spec.PodCIDRs, cidr.String())
		}
		node.Spec.PodCIDR = node.Spec.PodCIDRs[0]
		made, err := c.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
		require.NoError(t, err)
		made.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: n.Addresses[0].Addr().String()}}
		_, err = c.client.CoreV1().Nodes().UpdateStatus(ctx, made, metav1.UpdateOptions{})
		require.NoError(t, err)
	}
	for _, service := range c.Plan().Services {
		status := service.Status
		service.Spec.ClusterIP, service.Spec.ClusterIPs = "", nil // the API server's to give
		made, err := c.client.CoreV1().Services("default").Create(ctx, &service, metav1.CreateOptions{})
		require.NoError(t, err)
		made.Status = status
		_, err = c.client.CoreV1().Services("default").UpdateStatus(ctx, made, metav1.UpdateOptions{})
		require.NoError(t, err)
	}
	for _, slice := range c.Plan().EndpointSlices {
		_, err := c.client.DiscoveryV1().EndpointSlices("default").Create(ctx, &slice, metav1.CreateOptions{})
		require.NoError(t, err)
	}
}

// start runs dsrd on a node.
func (c *cluster) start(t *testing.T, node string) {
	t.Helper()
	pins, err := c.Network().BPFDir(node)
	require.NoError(t, err)
	c.pids[node], err = c.Network().Start(t.Context(), node, netns.Process{Name: "agent-" + node, Argv: []string{
		c.dsrd, "--node", node, "--config", c.config, "--kubeconfig", c.kubeconfig, "--pins", pins, "--metrics", c.metrics(node),
	}})
	require.NoError(t, err)
}

func (c *cluster) metrics(node string) string {
	nodes := c.ClusterNodes()
	i := slices.IndexFunc(nodes, func(n topologies.Node) bool { return n.Name == node })
	return net.JoinHostPort(nodes[i].Addresses[0].Addr().String(), "9964")
}

// stop ends dsrd by a signal, and waits for its end.
func (c *cluster) stop(t *testing.T, node string, signal syscall.Signal) {
	t.Helper()
	require.NoError(t, syscall.Kill(c.pids[node], signal))
	require.Eventually(t, func() bool { return syscall.Kill(c.pids[node], 0) != nil }, time.Minute, 5*time.Millisecond)
}

// healthy waits until dsrd of a node says so.
func (c *cluster) healthy(t *testing.T, node string) {
	t.Helper()
	require.Eventually(t, func() bool {
		response, err := c.http(node, 2*time.Second).Get("http://" + c.metrics(node) + "/healthz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	}, time.Minute, 20*time.Millisecond, "%s", c.log("agent-"+node))
}

func (c *cluster) log(name string) string {
	text, _ := os.ReadFile(filepath.Join(c.Network().Dir(), "logs", name+".log"))
	return string(text)
}

// http calls from a place of the lab, with a connection for each request.
func (c *cluster) http(from string, timeout time.Duration) *http.Client {
	return &http.Client{Timeout: timeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			err = c.Network().Do(from, func() error {
				conn, err = new(net.Dialer).DialContext(ctx, network, address)
				return err
			})
			return conn, err
		},
	}}
}

// seen is what a pod says of the client's address.
func (c *cluster) seen() (string, error) {
	response, err := c.http("client", 5*time.Second).Get("http://" + c.vip.String() + "/")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

// load calls the VIP again and again, until stop; it counts what went well, and says what did not.
func (c *cluster) load() (done *atomic.Int64, stop func() []error) {
	ctx, cancel := context.WithCancel(context.Background())
	var errs []error
	done, ended := new(atomic.Int64), make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			if _, err := c.seen(); err != nil {
				errs = append(errs, err)
			}
			done.Add(1)
		}
	}()
	return done, func() []error {
		cancel()
		<-ended
		return errs
	}
}

// backends counts those that the data path of a node has for the VIP.
func (c *cluster) backends(t *testing.T, node string) int {
	t.Helper()
	d, err := c.OpenDataPath(node)
	require.NoError(t, err)
	defer d.Close()
	listed, err := d.List()
	require.NoError(t, err)
	for _, l := range listed {
		if l.Address == c.vip && strings.EqualFold(l.Protocol, "tcp") {
			return len(l.Backends)
		}
	}
	return 0
}

// set makes a number of the plan's endpoints those of the service.
func (c *cluster) set(t *testing.T, n int) {
	t.Helper()
	for _, of := range c.Plan().EndpointSlices {
		slice, err := c.client.DiscoveryV1().EndpointSlices("default").Get(t.Context(), of.Name, metav1.GetOptions{})
		require.NoError(t, err)
		slice.Endpoints = slices.Clone(of.Endpoints[:min(n, len(of.Endpoints))])
		_, err = c.client.DiscoveryV1().EndpointSlices("default").Update(t.Context(), slice, metav1.UpdateOptions{})
		require.NoError(t, err)
	}
}

// TestAgent: dsrd begins before the API server can be reached, forwards real traffic once it can, follows changes, and goes on
// without API server, without itself, and through an upgrade, with no connection lost.
func TestAgent(t *testing.T) {
	c := newCluster(t)
	c.create(t)
	for _, n := range c.ClusterNodes() {
		c.start(t, n.Name)
	}
	require.Eventually(t, func() bool { return strings.Contains(c.log("agent-"+c.EntryNode()), "can't be reached") },
		time.Minute, 50*time.Millisecond, "it is told that there is no API server yet")
	c.door.Open(t)
	for _, n := range c.ClusterNodes() {
		c.healthy(t, n.Name)
	}
	text, err := c.seen()
	require.NoError(t, err)
	assert.Contains(t, text, c.Plan().Nodes[0].Addresses[0].Addr().String(), "the pod sees the client")
	all := len(c.Plan().Pods)
	require.Equal(t, all, c.backends(t, c.EntryNode()))

	t.Run("changes", func(t *testing.T) {
		const turns = 20
		var took []time.Duration
		for i := range turns {
			want := all - 1 + i%2
			c.set(t, want)
			begun := time.Now()
			require.Eventually(t, func() bool { return c.backends(t, c.EntryNode()) == want }, time.Minute, time.Millisecond)
			took = append(took, time.Since(begun))
		}
		slices.Sort(took)
		t.Logf("from the API server's yes to the data path: least %v, median %v, most %v", took[0], took[turns/2], took[turns-1]) // of this machine
	})

	t.Run("without API server", func(t *testing.T) {
		done, stop := c.load()
		c.door.Shut()
		was := done.Load()
		require.Eventually(t, func() bool { return done.Load() > was+50 }, 30*time.Second, 10*time.Millisecond)
		c.door.Open(t)
		assert.Empty(t, stop())
		c.set(t, all-1) // not under load: a connection to the pod that goes would break
		require.Eventually(t, func() bool { return c.backends(t, c.EntryNode()) == all-1 }, time.Minute, 50*time.Millisecond)
		c.set(t, all)
		require.Eventually(t, func() bool { return c.backends(t, c.EntryNode()) == all }, time.Minute, 50*time.Millisecond)
	})

	t.Run("end, kill and upgrade under load", func(t *testing.T) {
		done, stop := c.load()
		for _, n := range c.ClusterNodes() {
			for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
				c.stop(t, n.Name, signal)
				was := done.Load()
				require.Eventually(t, func() bool { return done.Load() > was+20 }, 30*time.Second, 5*time.Millisecond)
				c.start(t, n.Name) // loads programs anew, as an upgrade does
				c.healthy(t, n.Name)
			}
		}
		assert.Empty(t, stop())
		t.Logf("%d connections", done.Load())
	})

	t.Run("restart without API server", func(t *testing.T) {
		done, stop := c.load()
		c.door.Shut()
		c.stop(t, c.EntryNode(), syscall.SIGKILL)
		c.start(t, c.EntryNode())
		was := done.Load()
		require.Eventually(t, func() bool { return done.Load() > was+200 }, time.Minute, 10*time.Millisecond)
		assert.Empty(t, stop())
		c.door.Open(t)
		c.healthy(t, c.EntryNode())
	})
}
