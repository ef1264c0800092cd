package netns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns/hoststate"
	"github.com/dsrlab/dsrlab/topologies/netns/sandbox"
)

// Environment of a process that builds a network and kills itself at one of the steps.
const (
	dieAtVariable = "DSRLAB_TEST_DIE_AT"
	dirVariable   = "DSRLAB_TEST_DIR"
)

// TestMain lets the test binary be that process.
func TestMain(m *testing.M) {
	if step := os.Getenv(dieAtVariable); step != "" {
		dieAt(step, os.Getenv(dirVariable))
	}
	os.Exit(sandbox.Main(m))
}

// mainThread is where the goroutine of main is if it is locked before main begins.
var mainThread = func() int {
	if os.Getenv(dieAtVariable) == "visit" {
		runtime.LockOSThread()
	}
	return unix.Gettid()
}()

// visit looks into a namespace from the process's main thread until its input ends, as a command may.
func visit(path string) {
	ns, err := os.Open(path)
	if err == nil {
		err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
	}
	if err != nil || mainThread != os.Getpid() {
		fmt.Println("main thread", mainThread, err)
		os.Exit(1)
	}
	fmt.Println("inside")
	_, _ = io.ReadAll(os.Stdin)
	os.Exit(0)
}

func dieAt(step, dir string) {
	if step == "visit" {
		visit(dir)
	}
	if step == "down" { // and die whenever
		fmt.Print(".")
		if err := Down(context.Background(), dir, "test-down", nil); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(0)
	}
	number, _ := strconv.Atoi(step)
	plan, err := planNamed("talk")
	if err == nil {
		n := 0
		_, err = Up(context.Background(), plan, Options{StateDir: dir, Name: "test-die", OnStep: func(string) {
			if n++; n == number {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		}})
	}
	fmt.Fprintln(os.Stderr, "it lived", err)
	os.Exit(0)
}

func planNamed(name string) (*topologies.Plan, error) {
	topology, err := topologies.Lookup(name)
	if err != nil {
		return nil, err
	}
	return topologies.PlanOf(topology)
}

func requireRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
}

// up builds a plan for one test.
func up(t testing.TB, plan *topologies.Plan, name, dir string) *Network {
	t.Helper()
	requireRoot(t)
	t.Cleanup(func() { require.NoError(t, Down(context.Background(), dir, name, nil)) })
	nw, err := Up(t.Context(), plan, Options{StateDir: dir, Name: name})
	require.NoError(t, err)
	return nw
}

func talk(t testing.TB) *topologies.Plan {
	t.Helper()
	plan, err := planNamed("talk")
	require.NoError(t, err)
	return plan
}

// hostState is all of the host that a network might have changed, but for BPF programs: those of other packages' tests come and go
// meanwhile.
func hostState(t testing.TB) string {
	t.Helper()
	lines := strings.Split(hoststate.Read(t), "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "program ") }), "\n")
}

// dial connects from one namespace to an address in another, by the first SYN: its retransmission would come too late.
func dial(t *testing.T, nw *Network, from, to string, at netip.Addr) {
	t.Helper()
	var listener net.Listener
	require.NoError(t, nw.Do(to, func() (err error) {
		listener, err = net.Listen("tcp", netip.AddrPortFrom(at, 0).String())
		return err
	}))
	defer listener.Close()
	require.NoError(t, nw.Do(from, func() error {
		conn, err := net.DialTimeout("tcp", listener.Addr().String(), time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	}), "%s to %s", from, to)
}

func TestUpAndDown(t *testing.T) {
	requireRoot(t)
	before := hostState(t)
	dir := t.TempDir()
	plan := talk(t)
	nw, err := Up(t.Context(), plan, Options{StateDir: dir})
	require.NoError(t, err)
	assert.False(t, nw.Existing())
	for _, to := range []struct {
		place string
		at    netip.Addr
	}{{"lb", plan.Nodes[1].Addresses[0].Addr()}, {"worker", plan.Nodes[2].Addresses[0].Addr()}, {"tcp-echo", plan.Pods[0].Addresses[0]}} {
		dial(t, nw, "client", to.place, to.at)
		dial(t, nw, "fabric", to.place, to.at)
	}
	dial(t, nw, "tcp-echo", "client", plan.Nodes[0].Addresses[0].Addr())

	again, err := Up(t.Context(), plan, Options{StateDir: dir})
	require.NoError(t, err)
	assert.True(t, again.Existing(), "the same topology: nothing to do")
	list, err := List(dir)
	require.NoError(t, err)
	assert.Equal(t, []Status{{Name: "talk", Topology: "talk", State: "running", Nodes: 3, Pods: 1}}, list)

	require.NoError(t, Down(t.Context(), dir, "talk", nil))
	require.NoError(t, Down(t.Context(), dir, "talk", nil), "twice is once")
	assert.Equal(t, before, hostState(t))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestDiffers(t *testing.T) {
	dir := t.TempDir()
	plan := talk(t)
	up(t, plan, "test-differs", dir)
	topology, err := topologies.Lookup("talk")
	require.NoError(t, err)
	topology.Spec.MTU = 1400
	other, err := topologies.PlanOf(topology)
	require.NoError(t, err)
	_, err = Up(t.Context(), other, Options{StateDir: dir, Name: "test-differs"})
	var differs *DiffersError
	require.ErrorAs(t, err, &differs)
	assert.Contains(t, err.Error(), "1400")
	assert.Contains(t, err.Error(), "--recreate")
	nw, err := Up(t.Context(), other, Options{StateDir: dir, Name: "test-differs", Recreate: true})
	require.NoError(t, err)
	assert.False(t, nw.Existing())
	dial(t, nw, "client", "lb", other.Nodes[1].Addresses[0].Addr())
}

func TestOccupiedName(t *testing.T) {
	requireRoot(t)
	require.NoError(t, os.MkdirAll(namespaceDir, 0o755))
	foreign := filepath.Join(namespaceDir, namespaceName("test-occupied", "lb"))
	require.NoError(t, os.WriteFile(foreign, []byte("not ours"), 0o644))
	defer os.Remove(foreign)
	before := hostState(t)
	dir := t.TempDir()
	_, err := Up(t.Context(), talk(t), Options{StateDir: dir, Name: "test-occupied"})
	assert.EqualError(t, err, "network namespace dsrlab-test-occupied-lb exists and is not this network's: "+
		"remove it with `ip netns delete dsrlab-test-occupied-lb`, or choose another --name")
	require.NoError(t, Down(t.Context(), dir, "test-occupied", nil))
	assert.Equal(t, before, hostState(t), "nothing was touched")
	content, err := os.ReadFile(foreign)
	require.NoError(t, err)
	assert.Equal(t, "not ours", string(content))
}

func TestKilledAtEachStep(t *testing.T) {
	requireRoot(t)
	before := hostState(t)
	dir := t.TempDir()
	plan := talk(t)
	for step := 1; ; step++ {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", dieAtVariable, step), dirVariable+"="+dir)
		output, err := cmd.CombinedOutput()
		if err == nil { // there was no such step: it is complete
			assert.Contains(t, string(output), "it lived")
			assert.Greater(t, step, 5)
			require.NoError(t, Down(t.Context(), dir, "test-die", nil))
			break
		}
		t.Run(fmt.Sprint("step ", step), func(t *testing.T) {
			require.NoError(t, Down(t.Context(), dir, "test-die", nil))
			assert.Equal(t, before, hostState(t))
		})
	}
	// And Up itself removes what it finds incomplete.
	half := exec.Command(os.Args[0])
	half.Env = append(os.Environ(), dieAtVariable+"=6", dirVariable+"="+dir)
	require.Error(t, half.Run())
	nw, err := Up(t.Context(), plan, Options{StateDir: dir, Name: "test-die"})
	require.NoError(t, err)
	dial(t, nw, "client", "worker", plan.Nodes[2].Addresses[0].Addr())
	require.NoError(t, Down(t.Context(), dir, "test-die", nil))
	assert.Equal(t, before, hostState(t))
}

func TestFailedUpLeavesNothing(t *testing.T) {
	requireRoot(t)
	before := hostState(t)
	dir := t.TempDir()
	for _, step := range []string{"namespaces", "wires", "pods", "shaping", "complete"} {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := Up(ctx, talk(t), Options{StateDir: dir, Name: "test-cancel", OnStep: func(s string) {
			if s == step {
				cancel()
			}
		}})
		if step != "complete" { // the last step isn't followed by a look at ctx
			assert.ErrorIs(t, err, context.Canceled, step)
		}
		require.NoError(t, Down(t.Context(), dir, "test-cancel", nil))
		assert.Equal(t, before, hostState(t), step)
	}
}

func TestSideBySide(t *testing.T) {
	dir := t.TempDir()
	plan := talk(t)
	first := up(t, plan, "test-first", dir)
	second := up(t, plan, "test-second", dir)
	dial(t, first, "client", "worker", plan.Nodes[2].Addresses[0].Addr())
	require.NoError(t, Down(t.Context(), dir, "test-first", nil))
	dial(t, second, "client", "worker", plan.Nodes[2].Addresses[0].Addr())
}

func TestProcesses(t *testing.T) {
	dir := t.TempDir()
	nw := up(t, talk(t), "test-processes", dir)
	pid, err := nw.Start(t.Context(), "lb", Process{Name: "sleeper", Argv: []string{"sleep", "60"}})
	require.NoError(t, err)
	other, err := nw.Start(t.Context(), "lb", Process{Name: "other", Argv: []string{"sleep", "60"}})
	require.NoError(t, err)
	assert.True(t, nw.IsRunning("other"))
	require.NoError(t, nw.Stop(t.Context(), "other"))
	assert.True(t, errors.Is(syscall.Kill(other, 0), syscall.ESRCH) || isZombie(other), "it was stopped")
	assert.False(t, nw.IsRunning("other"))
	assert.True(t, nw.IsRunning("sleeper"), "programs of other names go on")
	require.NoError(t, nw.Stop(t.Context(), "other"), "there is nothing left to stop")
	var out strings.Builder
	require.NoError(t, nw.Run(t.Context(), "worker", []string{"sh", "-c", "readlink /proc/self/ns/net; echo hello"}, Streams{Out: &out}))
	assert.Contains(t, out.String(), "hello")
	var status *exec.ExitError
	err = nw.Run(t.Context(), "worker", []string{"sh", "-c", "exit 7"}, Streams{})
	require.ErrorAs(t, err, &status)
	assert.Equal(t, 7, status.ExitCode())
	require.NoError(t, Down(t.Context(), dir, "test-processes", nil))
	assert.True(t, errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || isZombie(pid), "it died with the lab")
	_, err = Open(dir, "test-processes")
	assert.ErrorIs(t, err, ErrNotFound)
}

func TestShapedPort(t *testing.T) {
	nw := up(t, talk(t), "test-shaped", t.TempDir())
	n := nw.Plan().Nodes[1]
	before, _, err := nw.PortStats("lb")
	require.NoError(t, err)
	dial(t, nw, "client", "lb", n.Addresses[0].Addr())
	toNode, fromNode, err := nw.PortStats("lb")
	require.NoError(t, err)
	assert.GreaterOrEqual(t, toNode.Packets, before.Packets+3, "SYN, ACK, FIN")
	assert.GreaterOrEqual(t, fromNode.Packets, uint64(2), "what leaves the node is counted on the way, too")
	assert.Equal(t, []topologies.Rate{n.ToNode.Rate, n.FromNode.Rate}, []topologies.Rate{toNode.Shape.Rate, fromNode.Shape.Rate})
	_, _, err = nw.PortStats("nobody")
	assert.EqualError(t, err, `test-shaped has no node "nobody"`)

	other := n.ToNode
	other.Queue = 7000
	require.NoError(t, nw.Reshape("lb", other, topologies.Shape{}))
	again, fromNode, err := nw.PortStats("lb")
	require.NoError(t, err)
	assert.EqualValues(t, 7000, again.Shape.Queue)
	assert.Equal(t, *n.ToNode.Overhead, *again.Shape.Overhead)
	assert.GreaterOrEqual(t, again.Packets, toNode.Packets, "the counters go on")
	assert.Zero(t, fromNode.Shape.Rate)
	dial(t, nw, "client", "lb", n.Addresses[0].Addr())
}

// A wire that was never shaped can be.
func TestReshapeUnshaped(t *testing.T) {
	plan := talk(t)
	shape := plan.Nodes[0].ToNode
	for i := range plan.Nodes {
		plan.Nodes[i].ToNode, plan.Nodes[i].FromNode = topologies.Shape{}, topologies.Shape{}
	}
	nw := up(t, plan, "test-free", t.TempDir())
	require.NoError(t, nw.Reshape("lb", shape, shape))
	n, err := nw.node("lb")
	require.NoError(t, err)
	dial(t, nw, "client", "lb", n.Addresses[0].Addr())
	toNode, fromNode, err := nw.PortStats("lb")
	require.NoError(t, err)
	assert.Equal(t, []topologies.Rate{shape.Rate, shape.Rate}, []topologies.Rate{toNode.Shape.Rate, fromNode.Shape.Rate})
	assert.GreaterOrEqual(t, toNode.Packets, uint64(3), "SYN, ACK, FIN")
}

func TestBadName(t *testing.T) {
	_, err := Up(t.Context(), &topologies.Plan{}, Options{StateDir: t.TempDir(), Name: "No Good"})
	assert.EqualError(t, err, `network name "No Good": use 1 to 32 lower-case letters, digits and hyphens`)
}
