package netns

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies/proc"
)

func TestDownKeepsForeignNamespace(t *testing.T) {
	dir := t.TempDir()
	up(t, talk(t), "test-foreign", dir)
	name := namespaceName("test-foreign", "worker")
	path := filepath.Join(namespaceDir, name)
	require.NoError(t, removeName(name))
	sleeper := exec.Command("sleep", "60")
	require.NoError(t, onThread(func(func()) error {
		p, err := newNamespace(name, markOf("another", "worker"))
		if err != nil {
			return err
		}
		defer unix.Close(p.fd)
		defer p.conn.Close()
		return sleeper.Start()
	}))
	defer func() {
		_ = sleeper.Process.Kill()
		_ = sleeper.Wait()
		require.NoError(t, removeName(name))
	}()
	require.NoError(t, Down(t.Context(), dir, "test-foreign", nil))
	assert.True(t, isMounted(path), "it has the name of one of ours, but it isn't")
	p, err := proc.Read(sleeper.Process.Pid)
	require.NoError(t, err)
	assert.False(t, p.Ended(), "nor is who lives there")
	assert.NoDirExists(t, filepath.Join(dir, "test-foreign"))
	_, err = Up(t.Context(), talk(t), Options{StateDir: dir, Name: "test-foreign"})
	var occupied *OccupiedError
	require.ErrorAs(t, err, &occupied)
	assert.Equal(t, name, occupied.Namespace)
}

func TestUpMendsBroken(t *testing.T) {
	dir := t.TempDir()
	plan := talk(t)
	up(t, plan, "test-broken", dir)
	require.NoError(t, removeName(namespaceName("test-broken", "worker")))
	nw, err := Up(t.Context(), plan, Options{StateDir: dir, Name: "test-broken"})
	require.NoError(t, err)
	assert.False(t, nw.Existing())
	dial(t, nw, "client", "worker", plan.Nodes[2].Addresses[0].Addr())
}

// Someone may hold a namespace or have a copy of the bpffs. That must keep neither the network's links nor its programs.
func TestDownDoesNotWaitForOthers(t *testing.T) {
	dir := t.TempDir()
	nw := up(t, talk(t), "test-held", dir)
	var held []*os.File
	for _, ns := range nw.Namespaces() {
		ns, err := nw.NetNS(ns)
		require.NoError(t, err)
		defer ns.Close()
		held = append(held, ns)
	}
	id := pinProgram(t, nw)
	filtersOfLo(t, nw, id)
	other := exec.Command("sleep", "60")
	other.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	require.NoError(t, other.Start())
	defer func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	}()

	require.NoError(t, Down(t.Context(), dir, "test-held", nil))
	_, err := ebpf.NewProgramFromID(id)
	assert.ErrorIs(t, err, os.ErrNotExist, "the program is gone")
	for i, ns := range held {
		require.NoError(t, inside(int(ns.Fd()), func() error {
			links, err := netlink.LinkList()
			for _, l := range links {
				assert.NotEqual(t, uint32(linkGroup), l.Attrs().Group, "%s of %s", l.Attrs().Name, nw.Namespaces()[i])
				assert.NotEqual(t, nodeDevice, l.Attrs().Name, nw.Namespaces()[i])
			}
			return err
		}))
	}
}

// filtersOfLo has a program at lo of a node, as the data path has on kernels before 6.6: no link of its own holds it there.
func filtersOfLo(t *testing.T, nw *Network, id ebpf.ProgramID) {
	t.Helper()
	program, err := ebpf.NewProgramFromID(id)
	require.NoError(t, err)
	defer program.Close()
	require.NoError(t, nw.Do("lb", func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		at := netlink.QdiscAttrs{LinkIndex: lo.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}
		if err := netlink.QdiscAdd(&netlink.Clsact{QdiscAttrs: at}); err != nil {
			return err
		}
		return netlink.FilterAdd(&netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{LinkIndex: lo.Attrs().Index, Parent: netlink.HANDLE_MIN_EGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1},
			Fd:          program.FD(), Name: "test", DirectAction: true,
		})
	}))
}

// pinProgram pins a program in a node's folder and returns its id.
func pinProgram(t *testing.T, nw *Network) ebpf.ProgramID {
	t.Helper()
	pins, err := nw.BPFDir("lb")
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(pins, 0o700))
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	require.NoError(t, err)
	defer program.Close()
	require.NoError(t, program.Pin(filepath.Join(pins, "program")))
	info, err := program.Info()
	require.NoError(t, err)
	id, ok := info.ID()
	require.True(t, ok)
	return id
}

func TestDownKilled(t *testing.T) {
	requireRoot(t)
	before := hostState(t)
	dir := t.TempDir()
	for delay := time.Duration(0); ; delay += delay/4 + 4*time.Millisecond { // ever further apart: a slow machine may need seconds
		up(t, talk(t), "test-down", dir)
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), dieAtVariable+"=down", dirVariable+"="+dir)
		pipe, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		_, err = pipe.Read(make([]byte, 1)) // it is about to begin
		require.NoError(t, err)
		time.Sleep(delay)
		_ = cmd.Process.Kill()
		killed := cmd.Wait() != nil
		require.NoError(t, Down(t.Context(), dir, "test-down", nil), "after %v", delay)
		require.Equal(t, before, hostState(t), "after %v", delay)
		if !killed {
			return
		}
	}
}

func TestEarlierBoot(t *testing.T) {
	dir := t.TempDir()
	nw := &Network{stateDir: dir, name: "old"}
	require.NoError(t, os.Mkdir(nw.Dir(), 0o755))
	nw.journal = journalOf(nw.Dir())
	require.NoError(t, nw.journal.add(entry{Kind: "begin", ID: "1", BootID: "another"}))
	require.NoError(t, nw.journal.add(entry{Kind: "process", PID: os.Getpid()}))
	require.NoError(t, nw.journal.add(entry{Kind: "complete"}))
	list, err := List(dir)
	require.NoError(t, err)
	assert.Equal(t, []Status{{Name: "old", State: EarlierBoot}}, list)
	_, err = Open(dir, "old")
	assert.EqualError(t, err, "old: no such network: it is left from an earlier boot")
	require.NoError(t, Down(t.Context(), dir, "old", nil))
	assert.NoDirExists(t, nw.Dir())
}

func TestStubbornProcess(t *testing.T) {
	dir := t.TempDir()
	nw := up(t, talk(t), "test-stubborn", dir)
	pid, err := nw.Start(t.Context(), "worker", Process{Name: "stubborn", Argv: []string{"sh", "-c", "trap '' TERM; echo ready; sleep 60; :"}})
	require.NoError(t, err)
	log := filepath.Join(nw.Dir(), "logs", "stubborn.log")
	require.Eventually(t, func() bool {
		content, _ := os.ReadFile(log)
		return string(content) == "ready\n"
	}, 20*time.Second, time.Millisecond)
	require.NoError(t, Down(t.Context(), dir, "test-stubborn", nil))
	p, err := proc.Read(pid)
	assert.True(t, err != nil || p.Ended())
}

// Whatever goes wrong at whatever step, nothing stays.
func TestFailureAtEachStep(t *testing.T) {
	requireRoot(t)
	before := hostState(t)
	dir := t.TempDir()
	device := talk(t).Pods[0].HostDevice
	for _, c := range []struct{ step, place, add, want string }{
		{"wires", Fabric, "br0", "bridges: file exists"},
		{"nodes", Fabric, "", "client: device eth0: Link not found"},
		{"pods", "worker", device, "tcp-echo: veth pairs: file exists"},
		{"fabric", Fabric, "", "device br0: Link not found"},
		{"shaping", Fabric, "", "port of client: Link not found"},
		{"bridges", Fabric, "", "device br0: Link not found"},
	} {
		t.Run(c.step, func(t *testing.T) {
			_, err := Up(t.Context(), talk(t), Options{StateDir: dir, Name: "test-fail", OnStep: func(s string) {
				if s == c.step {
					sabotage(t, namespaceName("test-fail", c.place), c.add)
				}
			}})
			require.EqualError(t, err, "build test-fail: "+c.step+": "+c.want)
			assert.Equal(t, before, hostState(t))
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
	t.Run("complete", func(t *testing.T) {
		_, err := Up(t.Context(), talk(t), Options{StateDir: dir, Name: "test-fail", OnStep: func(s string) {
			if s == "complete" {
				require.NoError(t, removeName("dsrlab-test-fail-client"))
			}
		}})
		require.EqualError(t, err, "build test-fail: complete: someone has taken /run/netns/dsrlab-test-fail-client away")
		assert.Equal(t, before, hostState(t))
	})
}

// sabotage takes a namespace's links away, or puts one of this name in the way.
func sabotage(t *testing.T, namespace, add string) {
	t.Helper()
	conn, err := dialAt(filepath.Join(namespaceDir, namespace))
	require.NoError(t, err)
	defer conn.Close()
	if add == "" {
		require.NoError(t, conn.RemoveGroup(linkGroup))
		return
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = add
	require.NoError(t, conn.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
}
