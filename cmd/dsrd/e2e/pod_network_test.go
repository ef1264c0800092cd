package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/labs/labtest"
)

// cniPlugins builds those that the agent's configuration names.
func cniPlugins(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	const module = "github.com/containernetworking/plugins/plugins/"
	out, err := exec.Command("go", "build", "-o", folder, module+"main/ptp", module+"ipam/host-local", module+"meta/portmap").CombinedOutput()
	require.NoError(t, err, string(out))
	return folder
}

// newNamespace is a network namespace for a pod; it goes with the file.
func newNamespace(t *testing.T) *os.File {
	t.Helper()
	made := make(chan netns.NsHandle, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- netns.None()
			return
		}
		ns, err := netns.Get()
		if err != nil {
			ns = netns.None()
		}
		made <- ns
	}()
	ns := <-made
	require.True(t, ns.IsOpen())
	file := os.NewFile(uintptr(ns), "pod")
	t.Cleanup(func() { file.Close() })
	return file
}

// inside runs f in a pod's namespace, on a thread that is not used again.
func inside(pod *os.File, f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(pod.Fd()), unix.CLONE_NEWNET); err != nil {
			result <- err
			return
		}
		result <- f()
	}()
	return <-result
}

// TestPodNetwork: a container runtime makes a pod by the configuration that the agent wrote, with the real CNI plugins. The pod is a
// backend that sees its client, calls services, and goes out of the cluster with the node's address; what no one has is unreachable.
func TestPodNetwork(t *testing.T) {
	plugins := cniPlugins(t)
	tb, vip := newLinesCluster(t)
	node := tb.Plan().Pods[0].Node
	of := tb.nodeOf(t, node)
	podCIDR := of.PodCIDRs[0]
	everywhere := netip.PrefixFrom(podCIDR.Addr(), 16).Masked()
	clusterIP := netip.MustParseAddr(tb.Plan().Services[0].Spec.ClusterIP)
	confDir := t.TempDir()
	config := agentConfig + fmt.Sprintf("podNetwork: {enabled: true, cidrs: [%s], cniConfDir: %s}\nserviceCIDRs: [%s]\n",
		everywhere, confDir, netip.PrefixFrom(clusterIP, 24).Masked())
	objects := filepath.Join(t.TempDir(), "objects.yaml")
	host := tb.ClusterNodes()[0].Name
	putFile(t, objects, tb.agentObjects(t, host))
	dsrd := programs.Program(t, "dsrd")
	for _, n := range tb.ClusterNodes() {
		own := config
		if n.Name != node {
			own = strings.Replace(config, confDir, t.TempDir(), 1)
		}
		tb.startAgentWith(t, dsrd, n.Name, objects, own)
	}

	file := filepath.Join(confDir, "10-dsrlab.conflist")
	written, err := os.ReadFile(file)
	require.NoError(t, err)
	// host-local keeps what it gave out, for this test not in the machine's own folder; and the lab's pods have the first addresses.
	first := podCIDR.Addr().As4()
	first[3] = 100
	list, err := libcni.ConfListFromBytes([]byte(strings.NewReplacer("/run/cni-ipam-state", t.TempDir(),
		fmt.Sprintf(`"subnet": %q`, podCIDR), fmt.Sprintf(`"rangeStart": %q, "subnet": %q`, netip.AddrFrom4(first), podCIDR)).Replace(string(written))))
	require.NoError(t, err)
	cni := libcni.NewCNIConfigWithCacheDir([]string{plugins}, t.TempDir(), nil)
	pod := newNamespace(t)
	at := &libcni.RuntimeConf{ContainerID: "test", NetNS: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), pod.Fd()), IfName: "eth0"}
	pins := func() int {
		dir, err := tb.Network().BPFDir(node)
		require.NoError(t, err)
		entries, err := os.ReadDir(filepath.Join(dir, "links"))
		require.NoError(t, err)
		return len(entries)
	}
	before := pins()
	var result types.Result
	require.NoError(t, tb.Network().Do(node, func() error {
		result, err = cni.AddNetworkList(context.Background(), list, at)
		return err
	}))
	got, err := current.GetResult(result)
	require.NoError(t, err)
	address, _ := netip.AddrFromSlice(got.IPs[0].Address.IP)
	address = address.Unmap()
	require.True(t, podCIDR.Contains(address), "%s is of the node's own", address)

	// A server in the pod says who calls.
	var listener net.Listener
	require.NoError(t, inside(pod, func() (err error) {
		listener, err = net.Listen("tcp", ":5201")
		return err
	}))
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			from, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
			go labtest.AnswerLines(conn, from)
		}
	}()
	documents := strings.ReplaceAll(string(tb.agentObjects(t, host)), "- addresses:\n  - "+tb.Plan().Pods[0].Addresses[0].String()+"\n", "- addresses:\n  - "+address.String()+"\n")
	require.Contains(t, documents, address.String())
	putFile(t, objects, []byte(documents))

	client := tb.Plan().Nodes[0].Addresses[0].Addr().String()
	for _, n := range tb.ClusterNodes() { // a connection to the pod that goes would break
		require.Eventually(t, func() bool { return tb.hasBackend(t, n.Name, vip, address) }, labtest.Patience, 10*time.Millisecond, n.Name)
	}
	seen := map[string]bool{}
	for begun := time.Now(); !seen[client] && time.Since(begun) < labtest.Patience; {
		seen[strings.TrimSpace(labtest.Call(t, tb, "client", vip).Ask(t))] = true
	}
	require.Contains(t, seen, client, "the pod sees the client, with DSR from other nodes; %s", readLog(tb, "agent-"+node))

	t.Run("the pod calls", func(t *testing.T) {
		dial := func(to string) (c labtest.Caller, err error) {
			err = inside(pod, func() (err error) {
				conn, err := net.DialTimeout("tcp", to, labtest.Patience)
				c = labtest.NewCaller(conn, tb)
				return err
			})
			return c, err
		}
		c, err := dial(netip.AddrPortFrom(clusterIP, vip.Port()).String())
		require.NoError(t, err, "a ClusterIP")
		assert.NotEmpty(t, c.Ask(t))
		c.Close()

		var outside net.Listener
		require.NoError(t, tb.Network().Do("client", func() (err error) {
			outside, err = net.Listen("tcp", client+":7000")
			return err
		}))
		defer outside.Close()
		seen := make(chan string, 1)
		go func() {
			if conn, err := outside.Accept(); err == nil {
				from, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
				seen <- from
				conn.Close()
			}
		}()
		c, err = dial(client + ":7000")
		require.NoError(t, err, "out of the cluster")
		defer c.Close()
		assert.Equal(t, tb.addressOf(t, node), <-seen, "with the node's address")
	})

	t.Run("the node calls", func(t *testing.T) {
		assert.NotEmpty(t, labtest.Call(t, tb, node, netip.AddrPortFrom(clusterIP, vip.Port())).Ask(t), "a ClusterIP, by the agent's route")
		assert.NotEmpty(t, labtest.Call(t, tb, node, netip.AddrPortFrom(address, 5201)).Ask(t), "a pod, as kubelet's probes do")
	})

	t.Run("what no one has", func(t *testing.T) {
		for _, to := range []netip.Addr{everywhere.Addr().Next().Next(), lastOf(everywhere)} {
			err := inside(pod, func() error {
				_, err := net.DialTimeout("tcp", netip.AddrPortFrom(to, 80).String(), labtest.Patience)
				return err
			})
			assert.True(t, errors.Is(err, unix.EHOSTUNREACH), "%s from the pod: %v", to, err)
			err = tb.Network().Do(node, func() error {
				_, err := net.DialTimeout("tcp", netip.AddrPortFrom(to, 80).String(), labtest.Patience)
				return err
			})
			assert.True(t, errors.Is(err, unix.EHOSTUNREACH), "%s from the node: %v", to, err)
		}
	})

	t.Run("the pod goes", func(t *testing.T) {
		require.Equal(t, before+2, pins(), "its veth has from_pod and to_pod")
		require.NoError(t, tb.Network().Do(node, func() error { return cni.DelNetworkList(context.Background(), list, at) }))
		require.Eventually(t, func() bool { return pins() == before }, labtest.Patience, 20*time.Millisecond, "nothing of it is left pinned")
	})
}

// lastOf is the last address of a prefix of IPv4 but one.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	b[2], b[3] = 0xff, 0xfe
	return netip.AddrFrom4(b)
}
