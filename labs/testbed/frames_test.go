package testbed

import (
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// TestTaggedFrames: datagrams to a VIP come in frames of VLAN 10, to the node's own Ethernet address. They are not for the device without
// a tag, at either hook. Those of no VLAN are served, and those to another address are not.
func TestTaggedFrames(t *testing.T) {
	for _, hook := range []dataplane.Hook{dataplane.HookTC, dataplane.HookXDP} {
		t.Run(string(hook), func(t *testing.T) {
			tb := upWith(t, "talk", func(topology *topologies.Topology) {
				for i := range topology.Spec.Nodes {
					topology.Spec.Nodes[i].Link = topologies.LinkSpec{}
				}
			})
			require.NoError(t, tb.Install(t.Context(), Variant{Name: "dsr", DataPath: DataPathDSRLab, Mode: services.ModeDSR, Hook: hook}))
			node := tb.ClusterNodes()[0]
			var own net.HardwareAddr
			require.NoError(t, tb.network.Do(node.Name, func() error {
				link, err := netlink.LinkByName("eth0")
				if err == nil {
					own = link.Attrs().HardwareAddr
				}
				return err
			}))
			tagged := tb.addVLAN(t, node.Port, 10) // "": this kernel has no VLAN devices, so the frame itself has the tag only
			forwarded := func() uint64 { return labtest.Count(t, tb, "to-overlay-dsr") + labtest.Count(t, tb, "to-endpoint") }
			tb.sendFrame(t, node.Port, datagramTo(t, tb, own, 1))
			require.Eventually(t, func() bool { return forwarded() == 1 }, patience, 10*time.Millisecond)

			if tagged != "" {
				tb.sendFrame(t, tagged, datagramTo(t, tb, own, 2))
			}
			tb.sendFrame(t, node.Port, withTag(datagramTo(t, tb, own, 5), 10))
			tb.sendFrame(t, node.Port, datagramTo(t, tb, net.HardwareAddr{2, 0, 0, 0, 0, 0x77}, 3))
			tb.sendFrame(t, node.Port, datagramTo(t, tb, own, 4)) // the last: what came before it has been counted, too
			require.Eventually(t, func() bool { return forwarded() >= 2 }, patience, 10*time.Millisecond)
			assert.EqualValues(t, 2, forwarded(), "only the two of no VLAN, to the node's own address")
		})
	}
}

// withTag is a frame with an 802.1Q tag.
func withTag(frame []byte, id uint16) []byte {
	tag := binary.BigEndian.AppendUint16([]byte{0x81, 0x00}, id)
	return slices.Concat(frame[:12], tag, frame[12:])
}

// addVLAN adds a VLAN device to one in the fabric, which leaves it to that to put the tag in. It returns "" where the kernel has none.
func (tb *Testbed) addVLAN(t *testing.T, on string, id int) string {
	t.Helper()
	const name = "vlan-test"
	err := tb.network.Do(netns.Fabric, func() error {
		parent, err := netlink.LinkByName(on)
		if err != nil {
			return err
		}
		attributes := netlink.NewLinkAttrs()
		attributes.Name, attributes.ParentIndex = name, parent.Attrs().Index
		vlan := &netlink.Vlan{LinkAttrs: attributes, VlanId: id}
		if err := netlink.LinkAdd(vlan); err != nil {
			return err
		}
		return netlink.LinkSetUp(vlan)
	})
	if errors.Is(err, unix.EOPNOTSUPP) {
		t.Log("needs VLAN devices (8021q), which this kernel does not have: tags beside the frame are not tried")
		return ""
	}
	require.NoError(t, err)
	return name
}

// sendFrame sends a frame by a device of the fabric.
func (tb *Testbed) sendFrame(t *testing.T, device string, frame []byte) {
	t.Helper()
	require.NoError(t, tb.network.Do(netns.Fabric, func() error {
		link, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		raw, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(raw)
		return unix.Sendto(raw, frame, 0, &unix.SockaddrLinklayer{Ifindex: link.Attrs().Index})
	}))
}

// datagramTo is a client's datagram to the VIP, in a frame to an Ethernet address. Each has a source port of its own.
func datagramTo(t *testing.T, tb *Testbed, to net.HardwareAddr, number uint16) []byte {
	t.Helper()
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: to, EthernetType: layers.EthernetTypeIPv4}
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: tb.plan.Nodes[0].Addresses[0].Addr().AsSlice(),
		DstIP: echoVIP.Addr().AsSlice()}
	udp := &layers.UDP{SrcPort: layers.UDPPort(41000 + number), DstPort: layers.UDPPort(echoVIP.Port())}
	require.NoError(t, udp.SetNetworkLayerForChecksum(ip))
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	require.NoError(t, gopacket.SerializeLayers(buffer, options, eth, ip, udp, gopacket.Payload("?")))
	return buffer.Bytes()
}
