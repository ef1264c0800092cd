package dataplane

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

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

// detachIfPinned undoes the Attach of a pin, if there is one.
func detachIfPinned(pin string) error {
	if _, err := os.Stat(pin); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return detach(pin)
}

func detach(pin string) error {
	name, isClsact := strings.CutSuffix(filepath.Base(pin), clsactSuffix)
	name, isEgress := strings.CutSuffix(name, egressSuffix)
	ifindex, err := strconv.Atoi(strings.TrimSuffix(name, xdpSuffix))
	if err != nil {
		return fmt.Errorf("detach %s: not a pin of ours: %w", pin, err)
	}
	if isClsact {
		return detachClsact(ifindex, isEgress, pin)
	}
	l, err := link.LoadPinnedLink(pin, nil)
	if err != nil {
		return fmt.Errorf("detach from device %d: %w", ifindex, err)
	}
	defer l.Close()
	return errors.Join(l.Detach(), l.Unpin())
}

func detachClsact(ifindex int, egress bool, pin string) error {
	err := netlink.FilterDel(&netlink.BpfFilter{FilterAttrs: clsactFilter(ifindex, egress)})
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) { // the device is gone, and its filter with it
		err = nil
	}
	if err != nil {
		return fmt.Errorf("detach from device %d: %w", ifindex, err)
	}
	return os.Remove(pin)
}

// ForgetGone removes the pins of what was attached to devices that are no more, such as those of pods that have ended: their
// numbers may come back with other devices. Call it in the node's network namespace.
func (d *DataPath) ForgetGone() error {
	links := filepath.Join(d.pinDir, linksDir)
	entries, err := os.ReadDir(links)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget devices: %w", err)
	}
	var errs []error
	for _, entry := range entries {
		number, _, _ := strings.Cut(entry.Name(), "_")
		ifindex, err := strconv.Atoi(number)
		if err != nil {
			continue
		}
		if _, err := net.InterfaceByIndex(ifindex); err != nil {
			errs = append(errs, os.Remove(filepath.Join(links, entry.Name())))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("forget devices: %w", err)
	}
	return nil
}
