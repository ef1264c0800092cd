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

// Trust says how much of what a request's headers tell about its way is believed. Each proxy appends whom it got the
// request from, so a header is a chain with the client at its left end and the last proxy but one at its right; the last
// proxy is the socket's other end. Whoever sends a request can write as much chain as he likes, so only what was appended
// by a proxy that is known can be believed.
//
// The zero value believes nothing: the socket's other end is the client. At most one of the fields may be set.
type Trust struct {
	// Hops is the number of proxies in front that are known to append: the last Hops entries of the chain are theirs. It
	// is wrong if somebody can come in past one of them.
	Hops int
	// Proxies are the addresses of the proxies in front. The chain is believed from the right for as long as each entry
	// was written by one of them.
	Proxies []netip.Prefix
	// All believes everything, as many applications and proxies do by default. A client can then be whoever it wants.
	All bool
}

// maxHops bounds Trust.Hops.
const maxHops = 32

// Validate says all that is wrong with the trust.
func (t Trust) Validate() error {
	var errs []error
	if t.Hops < 0 || t.Hops > maxHops {
		errs = append(errs, fmt.Errorf("trusted hops %d: want 0 to %d", t.Hops, maxHops))
	}
	for _, prefix := range t.Proxies {
		if !prefix.IsValid() {
			errs = append(errs, errors.New("prefix of trusted proxies is not valid"))
		}
	}
	set := 0
	for _, one := range []bool{t.Hops != 0, len(t.Proxies) > 0, t.All} {
		if one {
			set++
		}
	}
	if set > 1 {
		errs = append(errs, errors.New("trusted hops, trusted proxies and trust in all exclude each other"))
	}
	return errors.Join(errs...)
}

// Client tells who made a request, by X-Forwarded-For or, where there is none, Forwarded, as an application behind
// proxies would: the leftmost entry of what is believed. It is peer, the socket's other end, if nothing is, and not valid
// if the entry is no address.
func (t Trust) Client(header http.Header, peer netip.Addr) netip.Addr {
	nodes := splitList(header.Values(xForwardedFor))
	if len(nodes) == 0 {
		elements, _ := ParseForwarded(header.Values(forwardedHeader)) // a broken one tells nothing
		nodes = forNodes(elements)
	}
	believed := t.believed(nodes, peer)
	if believed == 0 {
		return peer
	}
	client, _ := parseNode(nodes[len(nodes)-believed])
	return client
}

// believed tells how many of a chain's nodes, counted from the right, are believed.
func (t Trust) believed(chain []string, peer netip.Addr) int {
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

// forNodes returns who the elements are for, one for each element.
func forNodes(elements []Element) []string {
	var nodes []string
	for _, e := range elements {
		nodes = append(nodes, e.For)
	}
	return nodes
}
