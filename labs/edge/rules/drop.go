package rules

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// Drop is a kind of packets that a bridge or router drops. A packet is of the kind if all that is set applies to it.
type Drop struct {
	// In and Out are the bridge ports by which it comes and goes. With In alone, what is for the router itself counts, too; with Out
	// alone, what comes from it.
	In, Out string
	// MAC is whom the frame is from, NotMAC whom it is not from.
	MAC, NotMAC net.HardwareAddr
	// NotFrom and NotTo are networks of which none holds the source, and the destination. IPv6's own addresses of the link are never
	// dropped for these.
	NotFrom, NotTo []netip.Prefix
	// Port is the destination port of a datagram.
	Port uint16
	// LongerThan is a length from the IP header on, in bytes.
	LongerThan int
}

// Rules of before any others, for bridges and for IP.
const beforeAll = nftables.ChainPriority(-300)

// DropBridged drops packets at the ports of the namespace's bridges. What an earlier call of it or of DropRouted dropped under the same
// name passes again.
func DropBridged(name string, drops []Drop) error {
	return replaceDrops(name, func(conn *nftables.Conn) {
		table := conn.AddTable(&nftables.Table{Name: tableDrop + name, Family: nftables.TableFamilyBridge})
		in := chainAt(conn, table, "prerouting", nftables.ChainHookPrerouting, nftables.ChainTypeFilter, beforeAll)
		through := chainAt(conn, table, "forward", nftables.ChainHookForward, nftables.ChainTypeFilter, beforeAll)
		out := chainAt(conn, table, "postrouting", nftables.ChainHookPostrouting, nftables.ChainTypeFilter, beforeAll)
		for i := range drops {
			d := &drops[i]
			chain := in
			switch {
			case d.In != "" && d.Out != "":
				chain = through
			case d.Out != "":
				chain = out
			}
			d.add(conn, chain, bothFamilies())
		}
	})
}

// DropRouted drops packets that the namespace's router gets, other than what is bridged. What an earlier call of it or of DropBridged
// dropped under the same name passes again.
func DropRouted(name string, drops []Drop) error {
	return replaceDrops(name, func(conn *nftables.Conn) {
		for _, family := range bothFamilies() {
			chain := prerouting(conn, tableFamilyOf(family), tableDrop+name, nftables.ChainTypeFilter, beforeAll)
			for i := range drops {
				drops[i].add(conn, chain, []netip.Addr{family})
			}
		}
	})
}

func replaceDrops(name string, add func(*nftables.Conn)) error {
	err := inTransaction([]string{tableDrop + name}, (*nftables.Conn).DelTable, add)
	if err != nil {
		return fmt.Errorf("drop packets: %w", err)
	}
	return nil
}

// Undrop takes back what DropBridged and DropRouted have made under a name. It is no error if there is nothing.
func Undrop(name string) error { return replaceDrops(name, func(*nftables.Conn) {}) }

func bothFamilies() []netip.Addr {
	return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
}

func tableFamilyOf(a netip.Addr) nftables.TableFamily {
	if a.Is6() {
		return nftables.TableFamilyIPv6
	}
	return nftables.TableFamilyIPv4
}

// add adds a rule for each of some IP versions.
func (d *Drop) add(conn *nftables.Conn, chain *nftables.Chain, families []netip.Addr) {
	for _, family := range families {
		match := ofFamily(family)
		if d.In != "" {
			match = append(match, fromPort(d.In)...)
		}
		if d.Out != "" {
			match = append(match, toDevice(d.Out)...)
		}
		match = append(match, macs(d.MAC, expr.CmpOpEq)...)
		match = append(match, macs(d.NotMAC, expr.CmpOpNeq)...)
		for _, p := range exceptions(d.NotFrom, family) {
			match = append(match, notFrom(p)...)
		}
		for _, p := range exceptions(d.NotTo, family) {
			match = append(match, notTo(p)...)
		}
		if d.Port != 0 {
			match = append(match, onPort(services.UDP, destPort, d.Port)...)
		}
		if d.LongerThan > 0 {
			match = append(match, &expr.Meta{Key: expr.MetaKeyLEN, Register: unix.NFT_REG_1},
				&expr.Byteorder{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Op: expr.ByteorderHton, Len: 4, Size: 4},
				&expr.Cmp{Op: expr.CmpOpGt, Register: unix.NFT_REG_1, Data: big32(uint32(d.LongerThan))})
		}
		addRule(conn, chain, "", match, []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}})
	}
}

// macs matches frames by their source; without one it matches all.
func macs(source net.HardwareAddr, how expr.CmpOp) []expr.Any {
	const at, length = 6, 6
	if source == nil {
		return nil
	}
	return []expr.Any{
		&expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseLLHeader, Offset: at, Len: length},
		&expr.Cmp{Op: how, Register: unix.NFT_REG_1, Data: source},
	}
}

// exceptions are those of an IP version: of IPv6, neighbour discovery too.
func exceptions(all []netip.Prefix, family netip.Addr) []netip.Prefix {
	if len(all) == 0 {
		return nil
	}
	var some []netip.Prefix
	if family.Is6() {
		some = []netip.Prefix{netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("::/128"), netip.MustParsePrefix("ff00::/8")}
	}
	for _, p := range all {
		if p.Addr().Is6() == family.Is6() {
			some = append(some, p)
		}
	}
	return some
}

func interfaceName(device string) []byte {
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, device)
	return name
}
