package rules

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Port is a bridge port that a node is at.
type Port struct {
	Node   string
	Device string
	// Sources are what packets from the port may come from. IPv6's own addresses of the link may always be.
	Sources []netip.Prefix
}

// Protect drops what comes in by a port from a source that is not of the port, as clouds and switches do that guard against
// forged addresses, and counts it. It begins to count anew.
func Protect(ports []Port) error {
	const first = nftables.ChainPriority(-300)
	err := replace(tableProtect, func(conn *nftables.Conn) {
		chain := prerouting(conn, nftables.TableFamilyBridge, tableProtect, nftables.ChainTypeFilter, first)
		for _, p := range ports {
			for _, family := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
				match := append(fromPort(p.Device), ofFamily(family)...)
				for _, source := range p.sourcesLike(family) {
					match = append(match, notFrom(source)...)
				}
				addRule(conn, chain, p.Node, match, []expr.Any{&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop}})
			}
		}
	})
	if err != nil {
		return fmt.Errorf("protect ports: %w", err)
	}
	return nil
}

// sourcesLike are those of an IP version.
func (p *Port) sourcesLike(family netip.Addr) []netip.Prefix {
	var all []netip.Prefix
	if family.Is6() { // neighbour discovery
		all = append(all, netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("::/128"))
	}
	for _, source := range p.Sources {
		if source.Addr().Is6() == family.Is6() {
			all = append(all, source)
		}
	}
	return all
}

// Unprotect takes Protect back. It is no error if there is nothing.
func Unprotect() error {
	if err := remove(tableProtect); err != nil {
		return fmt.Errorf("unprotect ports: %w", err)
	}
	return nil
}

// Drops are the packets dropped at the ports since Protect, by node; nil if nothing is protected.
func Drops() (map[string]uint64, error) {
	drops, err := counted(nftables.TableFamilyBridge, tableProtect)
	if err != nil {
		return nil, fmt.Errorf("count drops: %w", err)
	}
	return drops, nil
}
