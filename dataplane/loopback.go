package dataplane

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A node's own process that calls a NodePort at an address of its own node sends by lo, and has the answer come from that address.
// Over IPv4 a packet that bears the node's address as its source may come in by a device only where accept_local says so
// (fib_validate_source, net/ipv4/fib_frontend.c). Nothing but the node itself sends by lo.

// loopback is the index of lo in every network namespace (LOOPBACK_IFINDEX, include/net/flow.h).
const loopback = 1

// Values of the kernel that the libraries lack (linux/if_link.h, linux/ip.h).
const (
	iflaInetConf      = 1  // IFLA_INET_CONF
	confAcceptLocal   = 23 // IPV4_DEVCONF_ACCEPT_LOCAL
	acceptLocalSysctl = "/proc/sys/net/ipv4/conf/lo/accept_local"
)

// acceptedDir in the pin folder says that accept_local of lo was 0, and is ours.
const acceptedDir = "accept_local"

// acceptOwn lets the node's own address come in by lo.
func acceptOwn(pinDir string) error {
	value, err := os.ReadFile(acceptLocalSysctl)
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(value)) != "0" {
		return nil
	}
	if err := os.Mkdir(filepath.Join(pinDir, acceptedDir), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return setAcceptLocal(1)
}

// refuseOwn undoes acceptOwn.
func refuseOwn(pinDir string) error {
	_, err := os.Stat(filepath.Join(pinDir, acceptedDir))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return setAcceptLocal(0)
}

// setAcceptLocal writes the setting by netlink: containers have /proc/sys read-only.
func setAcceptLocal(value uint32) error {
	request := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	link := nl.NewIfInfomsg(unix.AF_UNSPEC)
	link.Index = loopback
	request.AddData(link)
	families := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
	families.AddRtAttr(unix.AF_INET, nil).AddRtAttr(iflaInetConf, nil).AddRtAttr(confAcceptLocal, nl.Uint32Attr(value))
	request.AddData(families)
	if _, err := request.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return fmt.Errorf("set accept_local of lo: %w", err)
	}
	return nil
}
