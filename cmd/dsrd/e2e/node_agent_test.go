package e2e

import (
	"bytes"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/topologies"
)

// TestNodeAgent: dsrd on every node, from objects in a file: real traffic by DSR, a change of the endpoints, a backend that is a
// node's own process, and its end, kill and restart under load without a lost connection.
func TestNodeAgent(t *testing.T) {
	dsrd := programs.Program(t, "dsrd")
	tb, to := newLinesCluster(t)
	objects := filepath.Join(t.TempDir(), "objects.yaml")
	host := tb.Plan().Pods[0].Node
	putFile(t, objects, tb.agentObjects(t, host))
	pids := map[string]int{}
	for _, n := range tb.ClusterNodes() {
		pids[n.Name] = tb.startNodeAgent(t, dsrd, n.Name, objects)
	}
	answer := func(pods int) {
		t.Helper()
		require.Len(t, labtest.Answering(t, tb, "client", to, pods), pods)
	}
	answer(len(tb.Plan().Pods))
	assert.NotZero(t, labtest.Count(t, tb, "to-overlay-dsr"))
	assert.NotZero(t, labtest.Count(t, tb, "reply-direct"))

	t.Run("a node's own process as backend", func(t *testing.T) {
		var listener net.Listener
		require.NoError(t, tb.Network().Do(host, func() (err error) {
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
				go labtest.AnswerLines(conn, conn.RemoteAddr().(*net.TCPAddr).IP.String())
			}
		}()
		for _, p := range tb.Plan().Pods { // of this node, whose answer passes no device to the fabric, and of others
			assert.Equal(t, p.Addresses[0].String(), strings.TrimSpace(labtest.Call(t, tb, p.Name, hostService).Ask(t)), p.Name)
		}
		client := tb.Plan().Nodes[slices.IndexFunc(tb.Plan().Nodes, func(n topologies.Node) bool { return n.Name == "client" })]
		for _, n := range tb.ClusterNodes() {
			seen := n.Addresses[0].Addr()
			if n.Name == host { // where its own address can't come in
				seen = hostService.Addr()
			}
			assert.Equal(t, seen.String(), strings.TrimSpace(labtest.Call(t, tb, n.Name, hostService).Ask(t)), "a process of %s", n.Name)
			nodePort := netip.AddrPortFrom(n.Addresses[0].Addr(), hostPort)
			assert.Equal(t, client.Addresses[0].Addr().String(), strings.TrimSpace(labtest.Call(t, tb, "client", nodePort).Ask(t)), "by %s", n.Name)
			assert.Equal(t, n.Addresses[0].Addr().String(), strings.TrimSpace(labtest.Call(t, tb, n.Name, nodePort).Ask(t)), "a process of %s, at its own", n.Name)
		}
		direct := netip.AddrPortFrom(tb.nodeOf(t, host).Addresses[0].Addr(), 7443)
		assert.Equal(t, client.Addresses[0].Addr().String(), strings.TrimSpace(labtest.Call(t, tb, "client", direct).Ask(t)), "past the service")
	})

	t.Run("restart under load", func(t *testing.T) {
		c := labtest.Call(t, tb, "client", to)
		name := c.Ask(t)
		for _, n := range tb.ClusterNodes() {
			signal := syscall.SIGTERM
			if n.Name == host {
				signal = syscall.SIGKILL
			}
			require.NoError(t, syscall.Kill(pids[n.Name], signal))
			require.Eventually(t, func() bool { return syscall.Kill(pids[n.Name], 0) != nil }, labtest.Patience, 10*time.Millisecond)
			assert.Equal(t, name, c.Ask(t), "without an agent")
			labtest.Call(t, tb, "client", to).Ask(t)
			tb.startNodeAgent(t, dsrd, n.Name, objects)
			assert.Equal(t, name, c.Ask(t), "with the next one")
		}
	})

	t.Run("a change of the endpoints", func(t *testing.T) {
		gone := tb.Plan().Pods[0]
		putFile(t, objects, tb.agentObjects(t, host, gone.Addresses[0].String()))
		told := func(want bool) { // a connection to the pod that goes would break
			for _, n := range tb.ClusterNodes() {
				require.Eventually(t, func() bool { return tb.hasBackend(t, n.Name, to, gone.Addresses[0]) == want }, labtest.Patience, 10*time.Millisecond, n.Name)
			}
		}
		told(false)
		answer(len(tb.Plan().Pods) - 1)
		putFile(t, objects, tb.agentObjects(t, host))
		told(true)
		answer(len(tb.Plan().Pods))
	})

	t.Run("a file with errors changes nothing", func(t *testing.T) {
		putFile(t, objects, []byte("kind: Pod\napiVersion: v1\n"))
		require.Eventually(t, func() bool {
			return bytes.Contains([]byte(readLog(tb, "agent-"+host)), []byte("must be Service, EndpointSlice, Node or List"))
		}, labtest.Patience, 20*time.Millisecond)
		answer(len(tb.Plan().Pods))
	})
}
