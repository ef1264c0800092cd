package dataplane

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/safchain/ethtool"
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
			return nil
		}
		d.notice = fmt.Errorf("device %s has no native XDP for our program (%w): tc handles all packets", config.Device, err)
	}
	pin := filepath.Join(d.pinDir, linksDir, pinOf(device.Index, FromNetworkXDP))
	if err := detachIfPinned(pin); err != nil {
		return err
	}
	return nil
}

// attachXDP attaches in the device's driver. The kernel's generic XDP, which comes after the socket buffer is made, would be
// slower than tc.
func attachXDP(program *ebpf.Program, ifindex int, links string) error {
	keepTags(ifindex)
	return putLink(program, filepath.Join(links, pinOf(ifindex, FromNetworkXDP)), func() (link.Link, error) {
		return link.AttachXDP(link.XDPOptions{Program: program, Interface: ifindex, Flags: link.XDPDriverMode})
	})
}

// keepTags has the device leave VLAN tags in frames, where XDP sees them: what bears one is not the device's own. Where a driver
// refuses, it is asked in vain: most that do have nothing to take out.
func keepTags(ifindex int) {
	device, err := net.InterfaceByIndex(ifindex)
	if err != nil {
		return
	}
	e, err := ethtool.NewEthtool()
	if err != nil {
		return
	}
	defer e.Close()
	_ = e.Change(device.Name, map[string]bool{"rx-vlan-hw-parse": false})
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

// Notice says what Load has done in another way than asked for and why, for people to read; nil: nothing.
func (d *DataPath) Notice() error { return d.notice }
