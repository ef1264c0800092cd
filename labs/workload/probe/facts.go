package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Facts are what a machine's kernel says about its network. What could not be read has its zero value, and a text in Unread.
type Facts struct {
	Kernel  string   `json:"kernel,omitempty"`
	Devices []Device `json:"devices"`
	// Outside is the name of the device that the default route leads to; empty without one.
	Outside string `json:"outside,omitempty"`
	// BTF reports whether the kernel has type information.
	BTF bool `json:"btf"`
	// DropsInvalid reports whether a rule of nf_tables, those that iptables-nft has written among them, drops packets that belong to no known
	// connection by `ct state invalid drop` or iptables' match. The rules of kube-proxy don't count: what forwards with DSR takes its place.
	// It is nil, and in Unread, where there are tables of the older iptables, too, as these can't be read.
	DropsInvalid *bool `json:"dropsInvalid,omitempty"`
	// Unread are the facts that could not be read, with the reason.
	Unread map[string]string `json:"unread,omitempty"`
	At     time.Time         `json:"at"`
}

// Device is a network device with an address.
type Device struct {
	Name      string         `json:"name"`
	Addresses []netip.Prefix `json:"addresses"`
	MTU       int            `json:"mtu"` // in bytes of an IP packet
	// ReversePath is the filter of IPv4 in effect: 0 none, 1 strict, 2 loose.
	ReversePath int  `json:"rpFilter"`
	AcceptLocal bool `json:"acceptLocal"` // of IPv4
	// XDP reports whether the device has an XDP program. What that takes, no agent of this device sees.
	XDP bool `json:"xdp,omitempty"`
	// DriverXDP reports whether the device's driver runs XDP programs itself; nil: not known.
	DriverXDP *bool `json:"driverXDP,omitempty"`
	// What has passed since the device is there, in bytes and packets.
	BytesIn    uint64 `json:"bytesIn"`
	BytesOut   uint64 `json:"bytesOut"`
	PacketsIn  uint64 `json:"packetsIn"`
	PacketsOut uint64 `json:"packetsOut"`
}

// Facts reads what the kernel says about the namespace's network.
func (a *Agent) Facts(context.Context) (*Facts, error) {
	f := &Facts{Unread: make(map[string]string), At: time.Now()}
	if err := a.enter.Do(f.read); err != nil {
		return nil, fmt.Errorf("read facts of the network: %w", err)
	}
	return f, nil
}

func (f *Facts) read() error {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		f.Unread["kernel"] = err.Error()
	}
	f.Kernel = unix.ByteSliceToString(name.Release[:])
	_, err := os.Stat("/sys/kernel/btf/vmlinux")
	f.BTF = err == nil
	if err := f.readDevices(); err != nil {
		return err
	}
	drops, err := dropsInvalid()
	if err == nil && !drops {
		err = olderTables()
	}
	if err != nil {
		f.Unread["connection tracking rules"] = err.Error()
	} else {
		f.DropsInvalid = &drops
	}
	return nil
}

// UnreadDriverXDP is what Unread says of a device, before its name, whose DriverXDP is not known.
const UnreadDriverXDP = "XDP in the driver of "

func (f *Facts) readDevices() error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list devices: %w", err)
	}
	for _, link := range links {
		d := Device{Name: link.Attrs().Name, MTU: link.Attrs().MTU}
		d.XDP = link.Attrs().Xdp != nil && link.Attrs().Xdp.Attached
		if s := link.Attrs().Statistics; s != nil {
			d.BytesIn, d.BytesOut, d.PacketsIn, d.PacketsOut = s.RxBytes, s.TxBytes, s.RxPackets, s.TxPackets
		}
		addresses, err := netlink.AddrList(link, netlink.FAMILY_ALL)
		if err != nil {
			return fmt.Errorf("list addresses of %s: %w", d.Name, err)
		}
		for _, address := range addresses {
			bits, _ := address.Mask.Size()
			if a := addressOf(address.IP); !a.IsLinkLocalUnicast() {
				d.Addresses = append(d.Addresses, netip.PrefixFrom(a, bits))
			}
		}
		if len(d.Addresses) == 0 || link.Attrs().Flags&net.FlagLoopback != 0 {
			continue
		}
		d.ReversePath = max(f.setting("rp_filter", "all"), f.setting("rp_filter", d.Name))
		d.AcceptLocal = f.setting("accept_local", "all") == 1 || f.setting("accept_local", d.Name) == 1
		if runs, err := driverRunsXDP(link.Attrs().Index); err != nil {
			f.Unread[UnreadDriverXDP+d.Name] = err.Error()
		} else {
			d.DriverXDP = &runs
		}
		f.Devices = append(f.Devices, d)
	}
	return f.readOutside()
}

// setting reads a setting of IPv4 of a device, or of all.
func (f *Facts) setting(name, device string) int {
	path := filepath.Join("/proc/sys/net/ipv4/conf", device, name)
	text, err := os.ReadFile(path)
	value := 0
	if err == nil {
		value, err = strconv.Atoi(strings.TrimSpace(string(text)))
	}
	if err != nil {
		f.Unread[name+" of "+device] = err.Error()
	}
	return value
}

// readOutside finds the device of the default route.
func (f *Facts) readOutside() error {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlink.RouteList(nil, family)
		if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
			return fmt.Errorf("list routes: %w", err)
		}
		for i := range routes {
			r := &routes[i]
			if ones, _ := r.Dst.Mask.Size(); r.Dst != nil && ones > 0 || r.Table != unix.RT_TABLE_MAIN {
				continue
			}
			index := r.LinkIndex
			if len(r.MultiPath) > 0 {
				index = r.MultiPath[0].LinkIndex
			}
			if link, err := netlink.LinkByIndex(index); err == nil {
				f.Outside = link.Attrs().Name
				return nil
			}
		}
	}
	return nil
}

// olderTables is an error that names the tables of iptables from before nf_tables; nil if there are none.
func olderTables() error {
	var names []string
	for _, file := range []string{"/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names"} {
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		for name := range strings.FieldsSeq(string(text)) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	if len(names) > 0 {
		return fmt.Errorf("iptables-legacy has tables (%s), whose rules are not read", strings.Join(names, ", "))
	}
	return nil
}

// dropsInvalid reports whether a rule drops what belongs to no known connection: a comparison of its state, and the verdict to drop.
func dropsInvalid() (bool, error) {
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return false, fmt.Errorf("open nf_tables: %w", err)
	}
	defer func() { _ = conn.CloseLasting() }()
	chains, err := conn.ListChains()
	if err != nil {
		return false, fmt.Errorf("list nf_tables: %w", err)
	}
	for _, chain := range chains {
		if chain.Table.Name == "kube-proxy" || strings.HasPrefix(chain.Name, "KUBE-") {
			continue
		}
		rules, err := conn.GetRules(chain.Table, chain)
		if err != nil {
			return false, fmt.Errorf("read chain %s of table %s: %w", chain.Name, chain.Table.Name, err)
		}
		if slices.ContainsFunc(rules, ruleDropsInvalid) {
			return true, nil
		}
	}
	return false, nil
}

// ruleDropsInvalid reports whether the rule drops packets for being invalid: `ct state invalid drop`, or iptables' match for it.
func ruleDropsInvalid(rule *nftables.Rule) bool {
	invalid, drops := false, false
	for i, e := range rule.Exprs {
		switch e := e.(type) {
		case *expr.Ct:
			invalid = invalid || e.Key == expr.CtKeySTATE && masks(rule.Exprs[i+1:], expr.CtStateBitINVALID)
		case *expr.Match: // xt_conntrack
			invalid = invalid || e.Name == "conntrack" && matchesInvalid(e.Info)
		case *expr.Verdict:
			drops = drops || e.Kind == expr.VerdictDrop
		}
	}
	return invalid && drops
}

// masks reports whether the first thing that is done with a value is to look at a bit of it.
func masks(after []expr.Any, bit uint32) bool {
	if len(after) == 0 {
		return false
	}
	b, ok := after[0].(*expr.Bitwise)
	return ok && len(b.Mask) == 4 && binary.NativeEndian.Uint32(b.Mask)&bit != 0
}

// matchesInvalid reports whether a match of xt_conntrack is about packets that belong to no known connection
// (include/uapi/linux/netfilter/xt_conntrack.h).
func matchesInvalid(info any) bool {
	const aboutState, invalid = 1, 1
	var state, flags, inverted uint16
	switch m := info.(type) {
	case *xt.ConntrackMtinfo3:
		state, flags, inverted = m.StateMask, m.MatchFlags, m.InvertFlags
	case *xt.ConntrackMtinfo2:
		state, flags, inverted = m.StateMask, m.MatchFlags, m.InvertFlags
	}
	return flags&aboutState != 0 && inverted&aboutState == 0 && state&invalid != 0
}
