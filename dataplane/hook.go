package dataplane

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// attachDevice attaches all programs of the device towards the fabric, and of lo. XDP comes last and goes last, so that tc handles
// what passes meanwhile.
func (d *DataPath) attachDevice(config Config) error {
	device, err := net.InterfaceByName(config.Device)
	if err != nil {
		return fmt.Errorf("device %s: %w", config.Device, err)
	}
	for _, direction := range []Direction{FromNetwork, FromNode} {
		if err := d.attach(device.Index, direction, config.Attach); err != nil {
			return fmt.Errorf("attach %s to %s: %w", direction, config.Device, err)
		}
	}
	if err := acceptOwn(d.pinDir); err != nil {
		return fmt.Errorf("let own addresses in by lo: %w", err)
	}
	if err := d.attach(loopback, FromNode, config.Attach); err != nil {
		return fmt.Errorf("attach %s to lo: %w", FromNode, err)
	}
	if config.Hook == HookXDP {
		if err = d.attach(device.Index, FromNetworkXDP, config.Attach); err == nil {
			d.notice = errors.Join(d.notice, keepTags(d.pinDir, device))
			return nil
		}
		d.notice = errors.Join(d.notice, fmt.Errorf("device %s has no native XDP for our program (%w): tc handles all packets", config.Device, err))
	}
	pin := filepath.Join(d.pinDir, linksDir, pinOf(device.Index, FromNetworkXDP))
	return errors.Join(detachIfPinned(pin), takeTagsAgain(d.pinDir))
}

// attachXDP attaches in the device's driver. The kernel's generic XDP, which comes after the socket buffer is made, would be
// slower than tc.
func attachXDP(program *ebpf.Program, ifindex int, links string) error {
	return putLink(program, filepath.Join(links, pinOf(ifindex, FromNetworkXDP)), func() (link.Link, error) {
		return link.AttachXDP(link.XDPOptions{Program: program, Interface: ifindex, Flags: link.XDPDriverMode})
	})
}

// Hook is the one in force: HookXDP where an XDP program of ours is attached.
func (d *DataPath) Hook() (Hook, error) {
	entries, err := os.ReadDir(filepath.Join(d.pinDir, linksDir))
	if err != nil && !os.IsNotExist(err) {
		return "", fmt.Errorf("read hook: %w", err)
	}
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), xdpSuffix) {
			return HookXDP, nil
		}
	}
	return HookTC, nil
}

// Notice says what Load has done in another way than asked for, or could not do, and why, for people to read; nil: nothing.
func (d *DataPath) Notice() error { return d.notice }
