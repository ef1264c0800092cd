package l7proxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// The headers that carry the client's address.
const (
	xForwardedFor   = "X-Forwarded-For"
	forwardedHeader = "Forwarded"
)

// Trust decides how much of a request's forwarding headers is trusted. Each proxy appends the address that it got the
// request from, so a header is a chain with the client at its left end and the last proxy but one at its right; the last
// proxy is the socket's other end. Any sender of a request can write an arbitrary chain, so only what was appended
// by a known proxy can be trusted.
//
// The zero value trusts nothing: the socket's other end is the client. At most one of the fields may be set.
type Trust struct {
	// Hops is the number of proxies in front: the last Hops entries of the chain are theirs. It
	// is unsafe if a client can bypass one of them.
	Hops int
	// Proxies are the addresses of the proxies in front. The chain is trusted from the right for as long as each entry
	// was written by one of them.
	Proxies []netip.Prefix
	// All trusts everything, as many applications and proxies do by default. A client can then claim any address.
	All bool
}

// maxHops bounds Trust.Hops.
const maxHops = 32

// Validate returns every error in the trust, joined.
func (t Trust) Validate() error {
	var errs []error
	if t.Hops < 0 || t.Hops > maxHops {
		errs = append(errs, fmt.Errorf("trusted hops: found %d (want 0 to %d)", t.Hops, maxHops))
	}
	for _, prefix := range t.Proxies {
		if !prefix.IsValid() {
			errs = append(errs, errors.New("trusted proxies: found an invalid prefix"))
		}
	}
	set := 0
	for _, one := range []bool{t.Hops != 0, len(t.Proxies) > 0, t.All} {
		if one {
			set++
		}
	}
	if set > 1 {
		errs = append(errs, errors.New("trusted hops, trusted proxies, trust all: found several (want at most one)"))
	}
	return errors.Join(errs...)
}

// Client returns the client of a request by X-Forwarded-For or, where there is none, Forwarded, as an application behind
// proxies would: the leftmost trusted entry. It is peer, the socket's other end, if no entry is trusted, and invalid
// if the entry is not an address.
func (t Trust) Client(header http.Header, peer netip.Addr) netip.Addr {
	nodes := splitList(header.Values(xForwardedFor))
	if len(nodes) == 0 {
		elements, _ := ParseForwarded(header.Values(forwardedHeader)) // a malformed one has no elements
		nodes = forNodes(elements)
	}
	trusted := t.trusted(nodes, peer)
	if trusted == 0 {
		return peer
	}
	client, _ := parseNode(nodes[len(nodes)-trusted])
	return client
}

// trusted returns how many of a chain's nodes, counted from the right, are trusted.
func (t Trust) trusted(chain []string, peer netip.Addr) int {
	switch {
	case t.All:
		return len(chain)
	case t.Hops > 0:
		return min(t.Hops, len(chain))
	}
	sender, known, n := peer, true, 0
	for n < len(chain) && known && t.trusts(sender) {
		sender, known = parseNode(chain[len(chain)-1-n])
		n++
	}
	return n
}

func (t Trust) trusts(addr netip.Addr) bool {
	for _, prefix := range t.Proxies {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// splitList splits the values of a header that is a comma-separated list.
func splitList(values []string) []string {
	var items []string
	for _, value := range values {
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
	}
	return items
}

// forNodes returns the "for" node of each element.
func forNodes(elements []Element) []string {
	var nodes []string
	for _, e := range elements {
		nodes = append(nodes, e.For)
	}
	return nodes
}
