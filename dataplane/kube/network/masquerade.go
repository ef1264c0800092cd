package network

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Names of the agent's nftables tables, one of each family, and of their chain.
const (
	tableName = "dsrlab-agent"
	chainName = "postrouting"
)

// Masquerade gives what pods send to elsewhere than inside the node's address. Answers of DSR flows never get here: the data path
// sends them out at the pod's veth, before netfilter sees them. No pods: the rules go.
func Masquerade(pods, inside []netip.Prefix) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("masquerade: %w", err)
	}
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6} {
		is6 := family == nftables.TableFamilyIPv6
		table := &nftables.Table{Name: tableName, Family: family}
		conn.AddTable(table) // so that there is one to delete or to flush: all in one transaction
		from := ofFamily(pods, is6)
		if len(from) == 0 {
			conn.DelTable(table)
			continue
		}
		conn.FlushTable(table) // and the chain stays: no packet on its way finds it gone
		chain := conn.AddChain(&nftables.Chain{
			Name: chainName, Table: table, Type: nftables.ChainTypeNAT,
			Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
		})
		for _, to := range ofFamily(inside, is6) {
			conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(match(to, destination), &expr.Verdict{Kind: expr.VerdictReturn})})
		}
		for _, of := range from {
			conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(match(of, source), &expr.Counter{}, &expr.Masq{})})
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("masquerade: %w", err)
	}
	return nil
}

// IsMasqueraded reports whether there are as many rules as Masquerade makes for these: others may have flushed them.
func IsMasqueraded(pods, inside []netip.Prefix) bool {
	conn, err := nftables.New()
	if err != nil {
		return false
	}
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6} {
		is6 := family == nftables.TableFamilyIPv6
		want := len(ofFamily(pods, is6))
		if want == 0 {
			continue
		}
		want += len(ofFamily(inside, is6))
		table := &nftables.Table{Name: tableName, Family: family}
		rules, err := conn.GetRules(table, &nftables.Chain{Name: chainName, Table: table})
		if err != nil || len(rules) != want {
			return false
		}
	}
	return true
}

func ofFamily(all []netip.Prefix, is6 bool) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(all), func(p netip.Prefix) bool { return p.Addr().Is6() != is6 })
}

type side int

const (
	source side = iota
	destination
)

// match compares one address of the IP header with a prefix.
func match(p netip.Prefix, s side) []expr.Any {
	offset, length := uint32(12), uint32(4) // RFC 791, section 3.1
	if p.Addr().Is6() {
		offset, length = 8, 16 // RFC 8200, section 3
	}
	offset += uint32(s) * length
	mask := bytes.Repeat([]byte{0xff}, p.Bits()/8)
	if rest := p.Bits() % 8; rest > 0 {
		mask = append(mask, 0xff<<(8-rest))
	}
	mask = append(mask, make([]byte, int(length)-len(mask))...)
	return []expr.Any{
		&expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length},
		&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: length, Mask: mask, Xor: make([]byte, length)},
		&expr.Cmp{Register: unix.NFT_REG_1, Op: expr.CmpOpEq, Data: p.Masked().Addr().AsSlice()},
	}
}
