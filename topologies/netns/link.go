package netns

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// raise gives a link the lab's mark, which the kernel takes no notice of when it makes a link, and more attributes, and brings
// it up: in one message, for a lab makes many links.
func raise(link netlink.Link, alias string, more ...*nl.RtAttr) error {
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index, message.Flags, message.Change = int32(link.Attrs().Index), unix.IFF_UP, unix.IFF_UP
	request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	request.AddData(message)
	request.AddData(nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(alias)))
	for _, attribute := range more {
		request.AddData(attribute)
	}
	if _, err := request.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return fmt.Errorf("bring up %s: %w", alias, err)
	}
	return nil
}
