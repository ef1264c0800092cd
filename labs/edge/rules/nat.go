package rules

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// Listener is a port that a network load balancer answers on, and the targets that it spreads connections over, all of the
// listener's IP version. What it sends to a target keeps the client's address and port as its source.
type Listener struct {
	Address  netip.AddrPort
	Protocol services.Protocol
	Targets  []netip.AddrPort
}

// NAT makes the namespace a network load balancer with state: the first packet of a connection chooses a target, and all
// others of it are translated alike, there and back. Connections of before are forgotten.
func NAT(listeners []Listener) error {
	err := replace(tableNAT, func(conn *nftables.Conn) {
		for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6} {
			chain := prerouting(conn, family, tableNAT, nftables.ChainTypeNAT, *nftables.ChainPriorityNATDest)
			for _, l := range listeners {
				if l.Address.Addr().Is6() == (family == nftables.TableFamilyIPv6) {
					l.add(conn, chain, family)
				}
			}
		}
	})
	if err != nil {
		return fmt.Errorf("make NLB: %w", err)
	}
	return Forget()
}

// add adds a rule for each target. The first takes one connection in n, the second one in n-1 of those that are left, and so on
// to the last, which takes all that are left: so each gets the same share.
func (l *Listener) add(conn *nftables.Conn, chain *nftables.Chain, family nftables.TableFamily) {
	const address, port = unix.NFT_REG_1, unix.NFT_REG_2
	for i, to := range l.Targets {
		addRule(conn, chain, "", toAddress(l.Address.Addr()), onPort(l.Protocol, destPort, l.Address.Port()), []expr.Any{
			&expr.Numgen{Register: address, Modulus: uint32(len(l.Targets) - i), Type: unix.NFT_NG_RANDOM},
			equal(native32(0)),
			&expr.Immediate{Register: address, Data: to.Addr().AsSlice()},
			&expr.Immediate{Register: port, Data: big16(to.Port())},
			&expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(family), RegAddrMin: address, RegProtoMin: port, Specified: true},
		})
	}
}

// Forget empties the namespace's table of connections. A namespace without one has nothing to forget.
func Forget() error {
	err := netlink.ConntrackTableFlush(netlink.ConntrackTable)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("forget connections: %w", err)
	}
	return nil
}

// Sender is a target of a network load balancer as the fabric sees it: what comes from its port, with its address and one of these
// ports as source, answers somebody whom the load balancer sent there.
type Sender struct {
	Device  string // the bridge port
	Address netip.Addr
	Ports   []SenderPort
}

// SenderPort is a port that a Sender answers from.
type SenderPort struct {
	Protocol services.Protocol
	Port     uint16
}

// Return marks answers of targets, in the namespace that has their bridge ports. Where packets with the mark go is up to the
// namespace's routes.
//
// A cloud's network knows of a load balancer's connections by the interface that the target is at; so what leaves by another
// interface goes its own way here, too.
func Return(senders []Sender, mark uint32) error {
	const beforeRoutes = nftables.ChainPriority(-200)
	err := replace(tableReturn, func(conn *nftables.Conn) {
		chain := prerouting(conn, nftables.TableFamilyBridge, tableReturn, nftables.ChainTypeFilter, beforeRoutes)
		for _, s := range senders {
			for _, p := range s.Ports {
				addRule(conn, chain, "", fromPort(s.Device), ofFamily(s.Address), fromAddress(s.Address), onPort(p.Protocol, sourcePort, p.Port), []expr.Any{
					&expr.Immediate{Register: unix.NFT_REG_1, Data: native32(mark)},
					&expr.Meta{Key: expr.MetaKeyMARK, Register: unix.NFT_REG_1, SourceRegister: true},
				})
			}
		}
	})
	if err != nil {
		return fmt.Errorf("mark answers: %w", err)
	}
	return nil
}
