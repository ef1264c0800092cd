package probe

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Of the generic netlink family "netdev", since Linux 6.3 (include/uapi/linux/netdev.h).
const (
	netdevDevGet      = 1 // NETDEV_CMD_DEV_GET
	netdevIfindex     = 1 // NETDEV_A_DEV_IFINDEX
	netdevXDPFeatures = 3 // NETDEV_A_DEV_XDP_FEATURES
	netdevXDPBasic    = 1 // NETDEV_XDP_ACT_BASIC: drop, pass and send back
)

// driverRunsXDP reports whether a device's driver runs XDP programs itself. Without that the kernel does, after it has made an sk_buff.
func driverRunsXDP(index int) (bool, error) {
	family, err := netlink.GenlFamilyGet("netdev")
	if err != nil {
		return false, fmt.Errorf("it is not told before Linux 6.3: %w", err)
	}
	request := nl.NewNetlinkRequest(int(family.ID), 0)
	// The header's last two bytes must be 0, which nl.Genlmsg leaves to chance.
	head := []byte{netdevDevGet, uint8(family.Version), 0, 0}
	request.AddRawData(append(head, nl.NewRtAttr(netdevIfindex, nl.Uint32Attr(uint32(index))).Serialize()...))
	messages, err := request.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil {
		return false, err
	}
	return parseXDPFeatures(messages)
}

// parseXDPFeatures reads the answers to NETDEV_CMD_DEV_GET, each with a header of generic netlink.
func parseXDPFeatures(messages [][]byte) (bool, error) {
	for _, m := range messages {
		if len(m) < nl.SizeofGenlmsg {
			continue
		}
		attributes, err := nl.ParseRouteAttr(m[nl.SizeofGenlmsg:])
		if err != nil {
			return false, err
		}
		for _, a := range attributes {
			if a.Attr.Type == netdevXDPFeatures && len(a.Value) == 8 {
				return binary.NativeEndian.Uint64(a.Value)&netdevXDPBasic != 0, nil
			}
		}
	}
	return false, errors.New("the kernel's answer has no XDP features")
}
