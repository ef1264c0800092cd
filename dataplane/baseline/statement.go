package baseline

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables/expr"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// statement is a part of a rule: a match, an action or a verdict.
type statement interface {
	// text is the statement in the language of nft.
	text(f family) string
	// compile is the statement as the kernel's expressions.
	compile(c *compiler) []expr.Any
}

type (
	// counter counts packets and bytes.
	counter struct{}
	// connectionNew matches packets of connections that are not answered yet.
	connectionNew struct{}
	// verdict ends a rule: jump or goto a chain, return, drop.
	verdict struct {
		kind  string
		chain string
	}
	// reject drops with ICMP port unreachable, TCP too.
	reject struct{}
	// lookUp takes the verdict that a map has for the packet.
	lookUp struct {
		key  keyType
		name string
	}
	// inSet matches an address that is in a set.
	inSet struct {
		side side
		name string
	}
	// inPrefixes matches an address that is, or is not, in one of at least one prefixes.
	inPrefixes struct {
		side     side
		not      bool
		prefixes []netip.Prefix
	}
	// toPort matches protocol and destination port.
	toPort struct {
		protocol services.Protocol
		port     uint16
	}
	// sourceLocal matches packets from an address of this node.
	sourceLocal struct{}
	// choose goes to one of several chains at random, one as likely as the other.
	choose struct{ chains []string }
	// remember notes that the client was here, in a set whose elements expire.
	remember struct{ set string }
	// translateTo gives connections a new destination (DNAT).
	translateTo struct {
		protocol services.Protocol
		to       netip.AddrPort
	}
	// mark asks for masquerading.
	mark struct{}
	// unmarked matches packets that did not ask for it.
	unmarked struct{}
	// unmark clears the mark.
	unmark struct{}
	// masquerade gives connections the address of the device that they leave by, and a random port (SNAT).
	masquerade struct{}
)

// side is one of a packet's two addresses.
type side string

const (
	source      side = "saddr"
	destination side = "daddr"
)

func jump(chain string) verdict { return verdict{"jump", chain} }
func goTo(chain string) verdict { return verdict{"goto", chain} }
func drop() verdict             { return verdict{kind: "drop"} }
func returnVerdict() verdict    { return verdict{kind: "return"} }

func (counter) text(family) string       { return "counter" }
func (connectionNew) text(family) string { return "ct state new" }
func (reject) text(family) string        { return "reject" }
func (sourceLocal) text(family) string   { return "fib saddr type local" }
func (masquerade) text(family) string    { return "masquerade fully-random" }

func (v verdict) text(family) string {
	if v.chain == "" {
		return v.kind
	}
	return v.kind + " " + v.chain
}

func (l lookUp) text(f family) string {
	key := "meta l4proto . th dport"
	if l.key == keyService {
		key = fmt.Sprintf("%s daddr . %s", f, key)
	}
	return fmt.Sprintf("%s vmap @%s", key, l.name)
}

func (i inSet) text(f family) string { return fmt.Sprintf("%s %s @%s", f, i.side, i.name) }

func (i inPrefixes) text(f family) string {
	not := ""
	if i.not {
		not = "!= "
	}
	prefixes := make([]string, len(i.prefixes))
	for n, prefix := range i.prefixes {
		prefixes[n] = prefix.String()
		if prefix.IsSingleIP() {
			prefixes[n] = prefix.Addr().String()
		}
	}
	list := prefixes[0]
	if len(prefixes) > 1 {
		list = "{ " + strings.Join(prefixes, ", ") + " }"
	}
	return fmt.Sprintf("%s %s %s%s", f, i.side, not, list)
}

func (t toPort) text(family) string {
	return fmt.Sprintf("%s dport %d", protocolName(t.protocol), t.port)
}

func (c choose) text(family) string {
	elements := make([]string, len(c.chains))
	for i, chain := range c.chains {
		elements[i] = fmt.Sprintf("%d : goto %s", i, chain)
	}
	return fmt.Sprintf("numgen random mod %d vmap { %s }", len(c.chains), strings.Join(elements, ", "))
}

func (r remember) text(f family) string { return fmt.Sprintf("update @%s { %s saddr }", r.set, f) }

func (t translateTo) text(family) string {
	return fmt.Sprintf("meta l4proto %s dnat to %s", protocolName(t.protocol), t.to)
}

func (mark) text(family) string { return fmt.Sprintf("meta mark set meta mark or %#x", MasqueradeMark) }

func (unmarked) text(family) string { return fmt.Sprintf("meta mark and %#x == 0", MasqueradeMark) }

func (unmark) text(family) string {
	return fmt.Sprintf("meta mark set meta mark xor %#x", MasqueradeMark)
}
