package rtnl

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Values of the kernel that the libraries lack (linux/if_bridge.h, linux/if.h).
const (
	portForwarding = 3 // BR_STATE_FORWARDING
	operUp         = 6 // IF_OPER_UP
)

// ReadyPorts are the names of the bridge ports that carry packets: they forward, and their device has left the queue which
// drops everything until the kernel has noticed the carrier. It is one short dump, however many other links there are.
func (c *Conn) ReadyPorts() (map[string]bool, error) {
	request := c.Request(unix.RTM_GETLINK, unix.NLM_F_DUMP)
	request.AddData(nl.NewIfInfomsg(unix.AF_BRIDGE))
	messages, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return nil, fmt.Errorf("list bridge ports: %w", err)
	}
	ready := make(map[string]bool, len(messages))
	for _, m := range messages {
		name, isReady, err := readPort(m)
		if err != nil {
			return nil, fmt.Errorf("list bridge ports: %w", err)
		}
		if isReady {
			ready[name] = true
		}
	}
	return ready, nil
}

// readPort reads a message about a bridge port, as net/bridge/br_netlink.c, br_fill_ifinfo, writes it.
func readPort(message []byte) (name string, ready bool, err error) {
	if len(message) < unix.SizeofIfInfomsg {
		return "", false, fmt.Errorf("read message: %d bytes, want at least %d", len(message), unix.SizeofIfInfomsg)
	}
	attributes, err := nl.ParseRouteAttr(message[unix.SizeofIfInfomsg:])
	if err != nil {
		return "", false, fmt.Errorf("read message: %w", err)
	}
	up, forwards := false, false
	for _, a := range attributes {
		switch a.Attr.Type &^ unix.NLA_F_NESTED {
		case unix.IFLA_IFNAME:
			name = unix.ByteSliceToString(a.Value)
		case unix.IFLA_OPERSTATE:
			up = len(a.Value) > 0 && a.Value[0] == operUp
		case unix.IFLA_PROTINFO:
			state, err := nl.ParseRouteAttr(a.Value)
			if err != nil {
				return "", false, fmt.Errorf("read port %s: %w", name, err)
			}
			for _, s := range state {
				if s.Attr.Type == nl.IFLA_BRPORT_STATE && len(s.Value) > 0 {
					forwards = s.Value[0] == portForwarding
				}
			}
		}
	}
	return name, up && forwards, nil
}

// HasLocal reports whether the namespace takes packets to an address as its own. An IPv6 address can be there, and the kernel's
// route to it not yet.
func (c *Conn) HasLocal(a netip.Addr) (bool, error) {
	routes, err := c.RouteGet(a.AsSlice())
	if errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up route to %v: %w", a, err)
	}
	return len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL, nil
}
