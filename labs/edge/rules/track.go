package rules

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Unseen are packets that pass a firewall by: those that come in by a device, or in frames of a machine. One of the two is set.
type Unseen struct {
	Device string
	MAC    net.HardwareAddr
}

// DropInvalid makes the namespace's machine drop packets that belong to no connection which it has seen begin, whether they are for
// itself, for others or its own. Of what is unseen it knows nothing, and drops nothing. Connections of before are forgotten.
func DropInvalid(name string, unseen ...Unseen) error {
	err := inTransaction([]string{tableTrack + name}, (*nftables.Conn).DelTable, func(conn *nftables.Conn) {
		for _, family := range bothFamilies() {
			table := conn.AddTable(&nftables.Table{Name: tableTrack + name, Family: tableFamilyOf(family)})
			raw := chainAt(conn, table, "prerouting", nftables.ChainHookPrerouting, nftables.ChainTypeFilter, *nftables.ChainPriorityRaw)
			for _, u := range unseen {
				match := macs(u.MAC, expr.CmpOpEq)
				if u.Device != "" {
					match = fromPort(u.Device)
				}
				addRule(conn, raw, "", match, []expr.Any{&expr.Notrack{}})
			}
			for name, hook := range map[string]*nftables.ChainHook{
				"input": nftables.ChainHookInput, "forward": nftables.ChainHookForward, "output": nftables.ChainHookOutput,
			} {
				addRule(conn, chainAt(conn, table, name, hook, nftables.ChainTypeFilter, *nftables.ChainPriorityFilter), "", isInvalid(),
					[]expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}})
			}
		}
	})
	if err != nil {
		return fmt.Errorf("drop packets of no connection: %w", err)
	}
	return Forget()
}

// PassInvalid takes DropInvalid back. It is no error if there is nothing.
func PassInvalid(name string) error {
	if err := remove(tableTrack + name); err != nil {
		return fmt.Errorf("pass packets of no connection: %w", err)
	}
	return nil
}

// isInvalid matches packets of no connection, as `ct state invalid` does.
func isInvalid() []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: unix.NFT_REG_1},
		&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: 4, Mask: native32(expr.CtStateBitINVALID), Xor: native32(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: unix.NFT_REG_1, Data: native32(0)},
	}
}

// Alias is the address by which the networks behind a device know a machine that is behind a translator of its own.
type Alias struct {
	MAC        net.HardwareAddr // of the machine
	Own, Other netip.Addr       // of one IP version
	// Sources are what is translated if it comes from the machine.
	Sources []netip.Prefix
	Device  string // of the router, towards those who know only the other address
}

// mark is what packets of the alias with an index have between being received and being sent.
func mark(index int) []byte { return native32(aliasMark + uint32(index)) }

const aliasMark = 0x4e415400 // "NAT"

// Translate makes the namespace's router the translators of some machines. What a machine sends towards the device gets the other
// address, whichever of the sources it has; what is sent there to the other address is for the machine's own.
func Translate(all []Alias) error {
	err := inTransaction([]string{tableAlias}, (*nftables.Conn).DelTable, func(conn *nftables.Conn) {
		for _, family := range bothFamilies() {
			table := conn.AddTable(&nftables.Table{Name: tableAlias, Family: tableFamilyOf(family)})
			marks := chainAt(conn, table, "marks", nftables.ChainHookPrerouting, nftables.ChainTypeFilter, *nftables.ChainPriorityMangle)
			in := chainAt(conn, table, "prerouting", nftables.ChainHookPrerouting, nftables.ChainTypeNAT, *nftables.ChainPriorityNATDest)
			out := chainAt(conn, table, "postrouting", nftables.ChainHookPostrouting, nftables.ChainTypeNAT, *nftables.ChainPriorityNATSource)
			for i, a := range all {
				if a.Own.Is6() != family.Is6() {
					continue
				}
				for _, source := range a.Sources {
					if source.Addr().Is6() == family.Is6() {
						addRule(conn, marks, "", macs(a.MAC, expr.CmpOpEq), fromPrefix(source), setMark(mark(i)))
					}
				}
				addRule(conn, in, "", fromPort(a.Device), toAddress(a.Other), nat(expr.NATTypeDestNAT, a.Own))
				addRule(conn, out, "", toDevice(a.Device), hasMark(mark(i)), nat(expr.NATTypeSourceNAT, a.Other))
			}
		}
	})
	if err != nil {
		return fmt.Errorf("translate addresses: %w", err)
	}
	return Forget()
}

func setMark(value []byte) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: unix.NFT_REG_1, Data: value},
		&expr.Meta{Key: expr.MetaKeyMARK, Register: unix.NFT_REG_1, SourceRegister: true},
	}
}

func hasMark(value []byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyMARK, Register: unix.NFT_REG_1}, equal(value)}
}

func nat(kind expr.NATType, to netip.Addr) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: unix.NFT_REG_1, Data: to.AsSlice()},
		&expr.NAT{Type: kind, Family: uint32(tableFamilyOf(to)), RegAddrMin: unix.NFT_REG_1},
	}
}

// Untranslate takes Translate back. It is no error if there is nothing.
func Untranslate() error {
	if err := remove(tableAlias); err != nil {
		return fmt.Errorf("translate addresses no more: %w", err)
	}
	return Forget()
}
