package dataplane

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Direction names what a device's ingress means to the node.
type Direction string

const (
	FromNetwork Direction = "from_network" // the device towards the fabric
	FromPod     Direction = "from_pod"     // the node's end of a pod's veth
)

// clsactSuffix marks a pinned program as attached through clsact: there is no link to pin then.
const clsactSuffix = "_clsact"

// clsactPriority is the preference of our filter; it leaves room for others on both sides.
const clsactPriority = 100

// Attach puts the node's program at a device's ingress. A program of ours that is attached there already is replaced in one
// step: no packet passes unseen. Call it in the node's network namespace.
func (d *DataPath) Attach(device string, direction Direction, mode AttachMode) error {
	program := d.objects.FromNetwork
	if direction == FromPod {
		program = d.objects.FromPod
	}
	if program == nil {
		return fmt.Errorf("attach %s to %s: the data path was opened, not loaded", direction, device)
	}
	iface, err := net.InterfaceByName(device)
	if err != nil {
		return fmt.Errorf("attach %s to %s: %w", direction, device, err)
	}
	links := filepath.Join(d.pinDir, linksDir)
	if err := os.MkdirAll(links, 0o700); err != nil {
		return fmt.Errorf("attach %s to %s: %w", direction, device, err)
	}
	pin := filepath.Join(links, strconv.Itoa(iface.Index)) // a name could have a dot, which bpffs forbids
	if mode != AttachClsact {
		err = attachTCX(program, iface.Index, pin)
	}
	if mode == AttachClsact || mode == AttachAuto && errors.Is(err, ebpf.ErrNotSupported) {
		err = attachClsact(program, iface.Index, pin+clsactSuffix)
	}
	if err != nil {
		return fmt.Errorf("attach %s to %s: %w", direction, device, err)
	}
	return nil
}

func attachTCX(program *ebpf.Program, ifindex int, pin string) error {
	old, err := link.LoadPinnedLink(pin, nil)
	if err == nil {
		defer old.Close()
		return old.Update(program)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := link.AttachTCX(link.TCXOptions{Interface: ifindex, Program: program, Attach: ebpf.AttachTCXIngress})
	if err != nil {
		return err
	}
	defer l.Close()
	return l.Pin(pin)
}

// attachClsact serves kernels before 6.6. The filter holds the program; a pin beside it tells Unload of the device.
func attachClsact(program *ebpf.Program, ifindex int, pin string) error {
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: ifindex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
	if err := netlink.QdiscAdd(qdisc); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("add clsact: %w", err)
	}
	filter := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: ifindex, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: clsactPriority,
		},
		Fd: program.FD(), Name: "dsrlab", DirectAction: true,
	}
	if err := netlink.FilterReplace(filter); err != nil {
		return fmt.Errorf("add filter: %w", err)
	}
	if err := os.Remove(pin); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return program.Pin(pin)
}

// detachAll undoes every Attach whose pin is in the folder.
func detachAll(links string) error {
	entries, err := os.ReadDir(links)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		errs = append(errs, detach(filepath.Join(links, entry.Name())))
	}
	return errors.Join(errs...)
}

func detach(pin string) error {
	name, isClsact := strings.CutSuffix(filepath.Base(pin), clsactSuffix)
	ifindex, err := strconv.Atoi(name)
	if err != nil {
		return fmt.Errorf("detach %s: not a pin of ours: %w", pin, err)
	}
	if isClsact {
		return detachClsact(ifindex, pin)
	}
	l, err := link.LoadPinnedLink(pin, nil)
	if err != nil {
		return fmt.Errorf("detach from device %d: %w", ifindex, err)
	}
	defer l.Close()
	return errors.Join(l.Detach(), l.Unpin())
}

func detachClsact(ifindex int, pin string) error {
	err := netlink.FilterDel(&netlink.BpfFilter{FilterAttrs: netlink.FilterAttrs{
		LinkIndex: ifindex, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: clsactPriority,
	}})
	if errors.Is(err, unix.ENODEV) { // the device is gone, and its filter with it
		err = nil
	}
	if err != nil {
		return fmt.Errorf("detach from device %d: %w", ifindex, err)
	}
	return os.Remove(pin)
}
