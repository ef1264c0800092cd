package dataplane

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// CheckAttached returns an error that names the first program that Load has attached to a device, and is not attached any more: the
// device was made anew, or someone detached it. Call it in the node's network namespace.
func (d *DataPath) CheckAttached(device string) error {
	iface, err := net.InterfaceByName(device)
	if err != nil {
		return fmt.Errorf("device %s: %w", device, err)
	}
	links := filepath.Join(d.pinDir, linksDir)
	for _, at := range []struct {
		device    string
		index     int
		direction Direction
	}{{device, iface.Index, FromNetwork}, {device, iface.Index, FromNode}, {"lo", loopback, FromNode}} {
		if err := checkAttached(links, at.index, at.direction); err != nil {
			return fmt.Errorf("program %s at device %s: %w", at.direction, at.device, err)
		}
	}
	pin := filepath.Join(links, pinOf(iface.Index, FromNetworkXDP))
	if _, err := os.Stat(pin); err != nil {
		return nil // tc does all
	}
	if err := checkLink(pin, iface.Index); err != nil {
		return fmt.Errorf("program %s at device %s: %w", FromNetworkXDP, device, err)
	}
	return nil
}

var errDetached = errors.New("is not attached")

// checkAttached looks for a link, or where there is none for a filter.
func checkAttached(links string, ifindex int, direction Direction) error {
	pin := filepath.Join(links, pinOf(ifindex, direction))
	if _, err := os.Stat(pin + clsactSuffix); err != nil {
		return checkLink(pin, ifindex)
	}
	ours := clsactFilter(ifindex, direction.isEgress())
	filters, err := netlink.FilterList(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: ifindex}}, ours.Parent)
	if err != nil {
		return err
	}
	for _, f := range filters {
		if f.Attrs().Handle == ours.Handle && f.Attrs().Priority == ours.Priority {
			return nil
		}
	}
	return errDetached
}

// checkLink finds out whether a pinned link still holds its device: the kernel lets go of it when the device goes.
func checkLink(pin string, ifindex int) error {
	l, err := link.LoadPinnedLink(pin, nil)
	if errors.Is(err, os.ErrNotExist) {
		return errDetached
	}
	if err != nil {
		return err
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return err
	}
	held := uint32(0)
	if tcx := info.TCX(); tcx != nil {
		held = tcx.Ifindex
	} else if xdp := info.XDP(); xdp != nil {
		held = xdp.Ifindex
	}
	if held != uint32(ifindex) {
		return errDetached
	}
	return nil
}
