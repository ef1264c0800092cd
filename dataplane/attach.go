package dataplane

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Direction names where a program sees packets, and the program.
type Direction string

const (
	FromNetwork    Direction = "from_network"     // tc ingress of the device towards the fabric
	FromNetworkXDP Direction = "from_network_xdp" // XDP of the same device
	FromPod        Direction = "from_pod"         // tc ingress of the node's end of a pod's veth
	FromNode       Direction = "from_node"        // tc egress of the device towards the fabric, and of lo: what the node itself sends
	ToPod          Direction = "to_pod"           // tc egress of the node's end of a pod's veth: replies that come through the kernel
)

func (d Direction) isEgress() bool { return d == FromNode || d == ToPod }

// clsactPriority is the preference of our filters; it leaves room for others on both sides.
const clsactPriority = 100

// Attach puts the node's program at a device. A program of ours that is attached there already is replaced in one step: no
// packet passes unseen. Load has done it for all but FromPod and ToPod. mode is for tc; XDP is in the driver or not at all. Call it in
// the node's network namespace.
func (d *DataPath) Attach(device string, direction Direction, mode AttachMode) error {
	iface, err := net.InterfaceByName(device)
	if err != nil {
		return fmt.Errorf("attach %s to %s: %w", direction, device, err)
	}
	if err := d.attach(iface.Index, direction, mode); err != nil {
		return fmt.Errorf("attach %s to %s: %w", direction, device, err)
	}
	return nil
}

// AttachPod puts both programs of a pod at the node's end of its veth, likewise.
func (d *DataPath) AttachPod(device string) error {
	for _, direction := range []Direction{FromPod, ToPod} {
		if err := d.Attach(device, direction, AttachAuto); err != nil {
			return err
		}
	}
	return nil
}

func (d *DataPath) attach(ifindex int, direction Direction, mode AttachMode) error {
	field := d.objects.DatapathPrograms.ByName()[string(direction)]
	if field == nil {
		return errors.New("there is no such program")
	}
	if *field == nil {
		return errors.New("the program is not loaded")
	}
	links := filepath.Join(d.pinDir, linksDir)
	if err := os.MkdirAll(links, 0o700); err != nil {
		return err
	}
	switch {
	case direction == FromNetworkXDP:
		return attachXDP(*field, ifindex, links)
	case mode == AttachClsact:
		return attachClsact(*field, ifindex, direction, links)
	}
	err := attachTCX(*field, ifindex, direction, links)
	if mode == AttachAuto && errors.Is(err, ebpf.ErrNotSupported) {
		return attachClsact(*field, ifindex, direction, links)
	}
	return err
}

// How a program is attached, as the name of its pin ends.
const (
	egressSuffix = "_egress" // at egress instead of ingress
	xdpSuffix    = "_xdp"    // in the driver
	clsactSuffix = "_clsact" // by a filter: there is no link to pin then, but the program
)

// pinOf is the pin's name of what is attached to a device: its index, as a name could have a dot, which bpffs forbids; and
// how it is attached.
func pinOf(ifindex int, direction Direction) string {
	switch direction {
	case FromNode, ToPod:
		return strconv.Itoa(ifindex) + egressSuffix
	case FromNetworkXDP:
		return strconv.Itoa(ifindex) + xdpSuffix
	}
	return strconv.Itoa(ifindex)
}

// attachTCX attaches by a link of the kernel's, and takes away a filter that did the same before.
func attachTCX(program *ebpf.Program, ifindex int, direction Direction, links string) error {
	at := ebpf.AttachTCXIngress
	if direction.isEgress() {
		at = ebpf.AttachTCXEgress
	}
	pin := filepath.Join(links, pinOf(ifindex, direction))
	err := putLink(program, pin, func() (link.Link, error) {
		return link.AttachTCX(link.TCXOptions{Interface: ifindex, Program: program, Attach: at})
	})
	if err != nil {
		return err
	}
	return detachIfPinned(pin + clsactSuffix)
}

// putLink makes a link and pins it, or gives one that is pinned already the new program. One that has lost its device, or was detached,
// is made anew.
func putLink(program *ebpf.Program, pin string, attach func() (link.Link, error)) error {
	old, err := link.LoadPinnedLink(pin, nil)
	if err == nil {
		defer old.Close()
		if err = old.Update(program); !errors.Is(err, unix.ENOLINK) {
			return err
		}
		err = old.Unpin()
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := attach()
	if err != nil {
		return err
	}
	defer l.Close()
	return l.Pin(pin)
}

// attachClsact serves kernels before 6.6. The filter holds the program; a pin beside it tells Unload of the device.
func attachClsact(program *ebpf.Program, ifindex int, direction Direction, links string) error {
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: ifindex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
	if err := netlink.QdiscAdd(qdisc); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("add clsact: %w", err)
	}
	filter := &netlink.BpfFilter{
		FilterAttrs: clsactFilter(ifindex, direction.isEgress()), Fd: program.FD(), Name: "dsrlab", DirectAction: true,
	}
	if err := netlink.FilterReplace(filter); err != nil {
		return fmt.Errorf("add filter: %w", err)
	}
	pin := filepath.Join(links, pinOf(ifindex, direction))
	if err := os.Remove(pin + clsactSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	own, err := program.Clone() // which has no pin yet: Pin would take the one at another device away
	if err != nil {
		return err
	}
	defer own.Close()
	if err := own.Pin(pin + clsactSuffix); err != nil {
		return err
	}
	return detachIfPinned(pin)
}

// clsactFilter is which filter of a device is ours.
func clsactFilter(ifindex int, egress bool) netlink.FilterAttrs {
	parent := uint32(netlink.HANDLE_MIN_INGRESS)
	if egress {
		parent = netlink.HANDLE_MIN_EGRESS
	}
	return netlink.FilterAttrs{
		LinkIndex: ifindex, Parent: parent, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: clsactPriority,
	}
}
