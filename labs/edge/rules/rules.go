// Package rules is what a network does in front of LB nodes, as nf_tables rules: a network load balancer that translates
// addresses and remembers connections (NAT), the way back to it (Return), and ports that accept no foreign source (Protect).
//
// Every function acts on the network namespace of the calling thread, in a transaction of its own, and has a table of its
// own: what it made is replaced when it is called again, and taken away by Remove.
package rules

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// Names of the tables.
const (
	tableNAT     = "dsrlab-nlb"
	tableReturn  = "dsrlab-return"
	tableProtect = "dsrlab-protect"
	tableDrop    = "dsrlab-drop-"  // and a name
	tableTrack   = "dsrlab-track-" // and a name
	tableAlias   = "dsrlab-alias"
)

// replace makes rules in the thread's namespace, all at once or not at all. The rules of an earlier call go in the same
// transaction; their table and its chains stay, so that no packet on its way finds them gone.
func replace(name string, add func(*nftables.Conn)) error {
	return inTransaction([]string{name}, (*nftables.Conn).FlushTable, add)
}

// remove deletes tables of the thread's namespace, as far as they are there.
func remove(names ...string) error {
	return inTransaction(names, (*nftables.Conn).DelTable, func(*nftables.Conn) {})
}

// socketBuffer is room for the kernel's answers to a transaction, one for each message, and for the transaction itself: both are lost when
// they don't fit. Between some ten nodes there are hundreds of rules.
const socketBuffer = 32 << 20

// open connects to the nf_tables of the thread's namespace, until CloseLasting.
func open() (*nftables.Conn, error) {
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetReadBuffer(socketBuffer), c.SetWriteBuffer(socketBuffer))
	}))
	if err != nil {
		return nil, fmt.Errorf("open nf_tables: %w", err)
	}
	return conn, nil
}

// inTransaction calls first for each table that is there and has one of the names, then change.
func inTransaction(names []string, first func(*nftables.Conn, *nftables.Table), change func(*nftables.Conn)) error {
	conn, err := open()
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseLasting() }()
	tables, err := conn.ListTables()
	if err != nil {
		return fmt.Errorf("list nf_tables: %w", err)
	}
	for _, table := range tables {
		if slices.Contains(names, table.Name) {
			first(conn, table)
		}
	}
	change(conn)
	return conn.Flush()
}

// Remove takes all away that this package has made in the namespace, but protection. It is no error if there is nothing.
func Remove() error {
	if err := remove(tableNAT, tableReturn); err != nil {
		return fmt.Errorf("remove edge rules: %w", err)
	}
	return nil
}

// prerouting adds a table with a chain that sees packets first.
func prerouting(conn *nftables.Conn, family nftables.TableFamily, name string, kind nftables.ChainType, priority nftables.ChainPriority) *nftables.Chain {
	return chainAt(conn, conn.AddTable(&nftables.Table{Name: name, Family: family}), "prerouting", nftables.ChainHookPrerouting, kind, priority)
}

// chainAt adds a chain to a table, at a hook that has its name.
func chainAt(conn *nftables.Conn, table *nftables.Table, name string, hook *nftables.ChainHook, kind nftables.ChainType, priority nftables.ChainPriority) *nftables.Chain {
	accept := nftables.ChainPolicyAccept
	return conn.AddChain(&nftables.Chain{Name: name, Table: table, Type: kind, Hooknum: hook, Priority: &priority, Policy: &accept})
}

// addRule adds a rule; the comment names it.
func addRule(conn *nftables.Conn, chain *nftables.Chain, comment string, parts ...[]expr.Any) {
	rule := &nftables.Rule{Table: chain.Table, Chain: chain}
	for _, part := range parts {
		rule.Exprs = append(rule.Exprs, part...)
	}
	if comment != "" {
		rule.UserData = userdata.AppendString(nil, userdata.TypeComment, comment)
	}
	conn.AddRule(rule)
}

// Offsets in bytes from the start of the network or transport header, as in RFC 791, 8200, 9293 and 768.
const (
	source4, destination4 = 12, 16
	source6, destination6 = 8, 24
	sourcePort, destPort  = 0, 2
)

func equal(data []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: data}
}

// fromPort matches what came in by a device: frames by a bridge port, packets by what a router has.
func fromPort(device string) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: unix.NFT_REG_1}, equal(interfaceName(device))}
}

// ofFamily matches packets of an IP version, where others come by, too.
func ofFamily(a netip.Addr) []expr.Any {
	kind := uint16(unix.ETH_P_IP)
	if a.Is6() {
		kind = unix.ETH_P_IPV6
	}
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: unix.NFT_REG_1}, equal(big16(kind))}
}

func load(offset4, offset6 uint32, a netip.Addr) expr.Any {
	p := &expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseNetworkHeader, Offset: offset4, Len: net.IPv4len}
	if a.Is6() {
		p.Offset, p.Len = offset6, net.IPv6len
	}
	return p
}

func fromAddress(a netip.Addr) []expr.Any {
	return []expr.Any{load(source4, source6, a), equal(a.AsSlice())}
}

func toAddress(a netip.Addr) []expr.Any {
	return []expr.Any{load(destination4, destination6, a), equal(a.AsSlice())}
}

// notFrom matches packets whose source is not in the prefix, notTo those whose destination is not.
func notFrom(p netip.Prefix) []expr.Any { return in(source4, source6, p, expr.CmpOpNeq) }
func notTo(p netip.Prefix) []expr.Any   { return in(destination4, destination6, p, expr.CmpOpNeq) }

// fromPrefix matches packets whose source is in the prefix.
func fromPrefix(p netip.Prefix) []expr.Any { return in(source4, source6, p, expr.CmpOpEq) }

// in compares the network of an address with a prefix.
func in(offset4, offset6 uint32, p netip.Prefix, how expr.CmpOp) []expr.Any {
	p = p.Masked()
	mask := net.CIDRMask(p.Bits(), p.Addr().BitLen())
	return []expr.Any{
		load(offset4, offset6, p.Addr()),
		&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: uint32(len(mask)), Mask: mask, Xor: make([]byte, len(mask))},
		&expr.Cmp{Op: how, Register: unix.NFT_REG_1, Data: p.Addr().AsSlice()},
	}
}

// toDevice matches what goes out by a device.
func toDevice(device string) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: unix.NFT_REG_1}, equal(interfaceName(device))}
}

// onPort matches a protocol, and a port at the offset.
func onPort(p services.Protocol, offset uint32, port uint16) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: unix.NFT_REG_1}, equal([]byte{byte(p)}),
		&expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2}, equal(big16(port)),
	}
}

func big16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }
func big32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

// native32 is a number as registers have it that the kernel itself fills.
func native32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// counted are the packets that each rule of a table has counted, by the rule's comment. It is nil without the table.
func counted(family nftables.TableFamily, name string) (map[string]uint64, error) {
	conn, err := open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.CloseLasting() }()
	tables, err := conn.ListTablesOfFamily(family)
	if err != nil {
		return nil, fmt.Errorf("list nf_tables: %w", err)
	}
	i := slices.IndexFunc(tables, func(t *nftables.Table) bool { return t.Name == name })
	if i < 0 {
		return nil, nil
	}
	table := tables[i]
	rules, err := conn.GetRules(table, &nftables.Chain{Name: "prerouting", Table: table})
	if err != nil {
		return nil, fmt.Errorf("read table %s: %w", name, err)
	}
	all := make(map[string]uint64)
	for _, r := range rules {
		comment, _ := userdata.GetString(r.UserData, userdata.TypeComment)
		for _, e := range r.Exprs {
			if c, ok := e.(*expr.Counter); ok {
				all[comment] += c.Packets
			}
		}
	}
	return all, nil
}
