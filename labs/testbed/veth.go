package testbed

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// XDP on a veth needs help that a network card gives by itself:
//
//   - Checksums must be whole when a packet meets XDP. A veth passes them on unfinished, and what XDP sends on is never
//     finished; so the wire's end in the fabric finishes them, as a card would before it puts a frame on the wire.
//   - A VLAN tag must be in the frame. A veth passes on beside it what the sender's VLAN device has left to its card to put in, where
//     XDP does not see it; so the wire's end in the fabric puts it in.
//   - XDP_TX is lost, without a trace, unless the other end runs an XDP program too (drivers/net/veth.c, veth_xdp_xmit).
//   - What XDP redirects into a pod is lost likewise, unless the pod's end polls (NAPI), which GRO turns on.
//
// Rates hold all the same: wires are shaped in the fabric, outside of the node.
const (
	featureChecksum = "tx-checksum-ip-generic"
	featureVLAN     = "tx-vlan-hw-insert"
	featureGRO      = "rx-gro"
)

// prepareXDP readies a node's wire and its pods for XDP; restoreWire undoes it.
func (tb *Testbed) prepareXDP(n topologies.Node) error {
	err := tb.network.Do(netns.Fabric, func() error {
		if err := errors.Join(setFeature(n.Port, featureChecksum, false), setFeature(n.Port, featureVLAN, false)); err != nil {
			return err
		}
		return attachPass(n.Port)
	})
	for _, p := range tb.plan.Pods {
		if p.Node == n.Name && err == nil {
			err = tb.network.Do(p.Name, func() error { return setFeature("eth0", featureGRO, true) })
		}
	}
	if err != nil {
		return fmt.Errorf("prepare %s for XDP: %w", n.Name, err)
	}
	return nil
}

// restoreWire undoes prepareXDP, whether it was called or not.
func (tb *Testbed) restoreWire(n topologies.Node) error {
	err := tb.network.Do(netns.Fabric, func() error {
		link, err := netlink.LinkByName(n.Port)
		if err != nil {
			return err
		}
		if xdp := link.Attrs().Xdp; xdp == nil || !xdp.Attached {
			return nil
		}
		return errors.Join(
			netlink.LinkSetXdpFd(link, -1), setFeature(n.Port, featureChecksum, true), setFeature(n.Port, featureVLAN, true))
	})
	if err != nil {
		return fmt.Errorf("restore the wire of %s: %w", n.Name, err)
	}
	return nil
}

func setFeature(device, feature string, on bool) error {
	e, err := ethtool.NewEthtool()
	if err != nil {
		return fmt.Errorf("device %s: open ethtool: %w", device, err)
	}
	defer e.Close()
	if err := e.Change(device, map[string]bool{feature: on}); err != nil {
		return fmt.Errorf("device %s: set %s to %v: %w", device, feature, on, err)
	}
	return nil
}

// attachPass attaches an XDP program that lets everything pass.
func attachPass(device string) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("device %s: %w", device, err)
	}
	const xdpPass = 2 // include/uapi/linux/bpf.h
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "pass", Type: ebpf.XDP, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()},
	})
	if err != nil {
		return fmt.Errorf("device %s: load the program that lets all pass: %w", device, err)
	}
	defer program.Close()
	if err := netlink.LinkSetXdpFd(link, program.FD()); err != nil {
		return fmt.Errorf("device %s: attach the program that lets all pass: %w", device, err)
	}
	return nil
}
