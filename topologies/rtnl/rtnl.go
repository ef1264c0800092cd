// Package rtnl talks to a network namespace's rtnetlink over sockets that stay open: a topology takes many messages, and a
// socket for each costs more than the message.
package rtnl

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Conn is a way into one network namespace, wherever its user is. It may be used by several goroutines.
type Conn struct {
	*netlink.Handle
	sockets map[int]*nl.SocketHandle
}

// Dial opens a Conn to the network namespace that the calling thread is in.
func Dial() (*Conn, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	socket, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		handle.Close()
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	return &Conn{Handle: handle, sockets: map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: socket}}}, nil
}

// Request starts a message that the library has no function for, to be executed over the Conn's socket.
func (c *Conn) Request(kind, flags int) *nl.NetlinkRequest {
	request := nl.NewNetlinkRequest(kind, flags)
	request.Sockets = c.sockets
	return request
}

// Close closes the sockets.
func (c *Conn) Close() {
	c.Handle.Close()
	for _, s := range c.sockets {
		s.Close()
	}
}

// Raise gives a link an alias, of which the kernel takes no notice when it makes a link, and brings it up: both in one message.
func (c *Conn) Raise(link netlink.Link, alias string) error {
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index, message.Flags, message.Change = int32(link.Attrs().Index), unix.IFF_UP, unix.IFF_UP
	request := c.Request(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	request.AddData(message)
	request.AddData(nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(alias)))
	if _, err := request.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return fmt.Errorf("bring up %s: %w", alias, err)
	}
	return nil
}

// RemoveGroup removes all links of a group, and their peers elsewhere. When it returns, they are gone.
func (c *Conn) RemoveGroup(group uint32) error {
	request := c.Request(unix.RTM_DELLINK, unix.NLM_F_ACK)
	request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	request.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(group)))
	_, err := request.Execute(unix.NETLINK_ROUTE, 0)
	if err != nil && !errors.Is(err, unix.ENODEV) { // there was none
		return fmt.Errorf("remove links of group %#x: %w", group, err)
	}
	return nil
}
