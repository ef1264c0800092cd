package dataplane

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/services/servicestest"
)

// inNamespace runs f in a new network namespace with a veth eth0, whose other end is peer0. The thread dies with the
// goroutine, and the namespace with it. f must use assert, not require.
func inNamespace(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked
		ns, err := netns.New()
		if !assert.NoError(t, err) {
			return
		}
		defer ns.Close()
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "peer0"}
		if !assert.NoError(t, netlink.LinkAdd(veth)) {
			return
		}
		for _, name := range []string{"eth0", "peer0"} {
			link, err := netlink.LinkByName(name)
			if !assert.NoError(t, err) || !assert.NoError(t, netlink.LinkSetUp(link)) {
				return
			}
		}
		f(t)
	}()
	<-done
}

// mountBPFFS mounts a bpffs for the test alone.
func mountBPFFS(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a bpffs")
	}
	dir := t.TempDir()
	require.NoError(t, unix.Mount("bpf", dir, "bpf", 0, ""))
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(dir, 0)) })
	return dir
}

// attached lists what is attached to a device: the hook, and the name of the program as far as the kernel keeps it.
func attached(t *testing.T, device string) []string {
	t.Helper()
	l, err := netlink.LinkByName(device)
	if !assert.NoError(t, err) {
		return nil
	}
	var all []string
	for _, at := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
		result, err := link.QueryPrograms(link.QueryOptions{Target: l.Attrs().Index, Attach: at})
		if errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EINVAL) {
			continue // the kernel has no TCX
		}
		if assert.NoError(t, err) {
			for _, p := range result.Programs {
				all = append(all, "tcx "+programName(t, p.ID))
			}
		}
	}
	for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
		filters, err := netlink.FilterList(l, parent)
		if err != nil {
			continue // there is no clsact
		}
		for _, f := range filters {
			if bpf, ok := f.(*netlink.BpfFilter); ok {
				all = append(all, "clsact "+programName(t, ebpf.ProgramID(bpf.Id)))
			}
		}
	}
	if xdp := l.Attrs().Xdp; xdp != nil && xdp.Attached {
		mode := map[uint32]string{1: "driver", 2: "generic", 3: "hardware"}[xdp.AttachMode] // XDP_ATTACHED_…
		all = append(all, mode+" "+programName(t, ebpf.ProgramID(xdp.ProgId)))
	}
	return all
}

func programName(t *testing.T, id ebpf.ProgramID) string {
	t.Helper()
	p, err := ebpf.NewProgramFromID(id)
	if !assert.NoError(t, err) {
		return ""
	}
	defer p.Close()
	info, err := p.Info()
	assert.NoError(t, err)
	return info.Name
}

// programIDs are those of what is attached, to see that it was replaced.
func programIDs(t *testing.T, d *DataPath) map[string]ebpf.ProgramID {
	t.Helper()
	ids := make(map[string]ebpf.ProgramID)
	for name, p := range d.objects.DatapathPrograms.ByName() {
		if *p != nil {
			info, err := (*p).Info()
			assert.NoError(t, err)
			ids[name], _ = info.ID()
		}
	}
	return ids
}

// pinned are the pins of eth0.
func pinned(t *testing.T, dir string) []string {
	t.Helper()
	eth0, err := net.InterfaceByName("eth0")
	if !assert.NoError(t, err) {
		return nil
	}
	entries, err := os.ReadDir(filepath.Join(dir, linksDir))
	assert.NoError(t, err)
	var names []string
	for _, e := range entries {
		if how, ours := strings.CutPrefix(e.Name(), strconv.Itoa(eth0.Index)); ours {
			names = append(names, "eth0"+how)
		}
	}
	return names
}

// hasTCX reports whether the kernel has it (6.6 and later).
func hasTCX(t *testing.T) bool {
	t.Helper()
	lo, err := net.InterfaceByName("lo")
	assert.NoError(t, err)
	_, err = link.QueryPrograms(link.QueryOptions{Target: lo.Index, Attach: ebpf.AttachTCXIngress})
	return !errors.Is(err, ebpf.ErrNotSupported) && !errors.Is(err, unix.EINVAL)
}

// wantAt is what is to be attached to eth0, and the pins of it.
func wantAt(t *testing.T, attach AttachMode, hook Hook) (names, pins []string) {
	t.Helper()
	how, suffix := "clsact", clsactSuffix
	if attach != AttachClsact && hasTCX(t) {
		how, suffix = "tcx", ""
	}
	names = []string{how + " from_network", how + " from_node"}
	pins = []string{"eth0" + suffix, "eth0_egress" + suffix}
	if hook == HookXDP {
		return append(names, "driver from_network_xdp"), append(pins, "eth0_xdp")
	}
	return names, pins
}

var testNodeAddresses = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}

// TestAttachAndReplace: what is attached stays attached without a gap, changes with the configuration, and goes.
func TestAttachAndReplace(t *testing.T) {
	dir := filepath.Join(mountBPFFS(t), "node")
	inNamespace(t, func(t *testing.T) {
		for _, step := range []struct {
			name   string
			attach AttachMode
			hook   Hook
		}{
			{"tcx", AttachTCX, ""},
			{"tcx, again", AttachTCX, HookTC},
			{"XDP", AttachAuto, HookXDP},
			{"XDP, again", AttachAuto, HookXDP},
			{"clsact", AttachClsact, HookTC},
			{"clsact, again", AttachClsact, HookTC},
			{"XDP and clsact", AttachClsact, HookXDP},
			{"what the kernel has", AttachAuto, ""},
		} {
			if step.attach == AttachTCX && !hasTCX(t) {
				continue
			}
			wantAttached, wantPinned := wantAt(t, step.attach, step.hook)
			config := Config{Addresses: testNodeAddresses, Device: "eth0", PinDir: dir, Sizes: fewEntries, Attach: step.attach, Hook: step.hook}
			d, err := Load(config)
			if !assert.NoError(t, err, step.name) {
				return
			}
			assert.NoError(t, d.Notice(), step.name)
			hook, err := d.Hook()
			assert.NoError(t, err)
			assert.Equal(t, step.hook == HookXDP, hook == HookXDP, step.name)
			assert.Equal(t, step.hook == HookXDP, d.objects.FromNetworkXdp != nil, "%s: loaded only where it is used", step.name)
			assert.ElementsMatch(t, wantAttached, attached(t, "eth0"), step.name)
			assert.ElementsMatch(t, wantPinned, pinned(t, dir), step.name)
			assert.Equal(t, wantAttached[1:2], attached(t, "lo"), "%s: what goes by lo is the node's own", step.name)
			assert.Equal(t, "1", acceptLocal(t), step.name)
			assert.NoError(t, d.Attach("peer0", FromPod, step.attach), step.name)
			assert.NoError(t, d.Close())
		}
		assert.NoError(t, Unload(dir))
		assert.Empty(t, attached(t, "eth0"))
		assert.Empty(t, attached(t, "peer0"))
		assert.Empty(t, attached(t, "lo"))
		assert.Equal(t, "0", acceptLocal(t), "as it was")
		_, err := os.Stat(dir)
		assert.ErrorIs(t, err, os.ErrNotExist)
		assert.NoError(t, Unload(dir), "twice is once")
	})
}

// acceptLocal is the namespace's setting for lo.
func acceptLocal(t *testing.T) string {
	t.Helper()
	value, err := os.ReadFile(acceptLocalSysctl)
	assert.NoError(t, err)
	return strings.TrimSpace(string(value))
}

// TestAcceptLocalOfUser: what was set before Load is set after Unload.
func TestAcceptLocalOfUser(t *testing.T) {
	dir := filepath.Join(mountBPFFS(t), "node")
	inNamespace(t, func(t *testing.T) {
		assert.NoError(t, setAcceptLocal(1))
		d, err := Load(Config{Addresses: testNodeAddresses, Device: "eth0", PinDir: dir, Sizes: fewEntries})
		if assert.NoError(t, err) {
			assert.NoError(t, d.Close())
		}
		assert.NoError(t, Unload(dir))
		assert.Equal(t, "1", acceptLocal(t))
	})
}

// TestReplaceKeepsMaps: another process loads other programs over the same maps.
func TestReplaceKeepsMaps(t *testing.T) {
	dir := filepath.Join(mountBPFFS(t), "node")
	inNamespace(t, func(t *testing.T) {
		config := Config{Addresses: testNodeAddresses, Device: "eth0", PinDir: dir, Sizes: fewEntries}
		state := State{Node: servicestest.NodeName(0), Nodes: nodesOf(2), Tables: servicestest.Many(3, 2)}
		d, err := Load(config)
		if !assert.NoError(t, err) {
			return
		}
		_, err = d.Apply(state)
		assert.NoError(t, err)
		flow := bpf.DatapathFlowKey{Protocol: 6}
		assert.NoError(t, d.objects.Flows.Put(flow, bpf.DatapathFlow{Backend: 1, Serial: 7}))
		before := programIDs(t, d)
		assert.NoError(t, d.Close())

		again, err := Load(config)
		if !assert.NoError(t, err) {
			return
		}
		defer again.Close()
		for name, id := range programIDs(t, again) {
			assert.NotEqual(t, before[name], id, name)
		}
		names, _ := wantAt(t, AttachAuto, HookTC)
		assert.ElementsMatch(t, names, attached(t, "eth0"))
		n, err := again.Apply(state)
		assert.NoError(t, err)
		assert.Equal(t, Result{}, n, "nothing is to be done")
		var kept bpf.DatapathFlow
		assert.NoError(t, again.objects.Flows.Lookup(flow, &kept))
		assert.EqualValues(t, 7, kept.Serial)

		config.Sizes.Flows *= 2
		_, err = Load(config)
		assert.ErrorIs(t, err, ebpf.ErrMapIncompatible)
		assert.ErrorContains(t, err, "load data path: the maps pinned in "+dir+" have other sizes or are of another version: unload them first, with what loaded them (dsrlab down; dsrd's: rm -r "+dir+" on the node): ")
		assert.ElementsMatch(t, names, attached(t, "eth0"), "what was there stays")
		assert.NoError(t, Unload(dir))
	})
}

func TestAttachErrors(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		assert.ErrorContains(t, (&DataPath{}).Attach("nosuch0", FromPod, AttachAuto), "attach from_pod to nosuch0: ")
		assert.EqualError(t, (&DataPath{}).Attach("eth0", FromPod, AttachAuto), "attach from_pod to eth0: the program is not loaded")
		assert.EqualError(t, (&DataPath{}).Attach("eth0", "sideways", AttachAuto), "attach sideways to eth0: there is no such program")
	})
}

func TestLoadErrors(t *testing.T) {
	_, err := Load(Config{MTU: 70000, Hook: "tcp", Fault: "all", Sizes: Sizes{Events: 5000}})
	assert.EqualError(t, err, `load data path: node addresses: must be one of IPv4, one of IPv6, or both
device: must be named
pin folder: must be named
MTU 70000: must be from 576 to 65535
hook "tcp": must be tc or xdp
fault "all": must be no-option, no-reply-rewrite, snat, or empty for none
sizes.events: 5000: must be a power of two from 64 on`)
	two := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::ffff:192.0.2.2"), netip.IPv6Unspecified()}
	_, err = Load(Config{Addresses: two, Device: "nosuch0", PinDir: "/nosuch"})
	assert.EqualError(t, err, `load data path: node addresses 192.0.2.1 and ::ffff:192.0.2.2: must be one of IPv4 at most
node address ::: must be a unicast address without zone`)
	_, err = Load(Config{Addresses: testNodeAddresses, Device: "nosuch0", PinDir: "/nosuch"})
	assert.ErrorContains(t, err, "load data path: device nosuch0: ")
	_, err = Open(t.TempDir())
	assert.ErrorIs(t, err, ErrNotLoaded)
}
