// Package pools gives out VIPs: which service of type LoadBalancer gets which address is pure (Assign); Run has one of the cluster's
// agents write it into the services' status.
package pools

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Pool is a named set of addresses, of any families.
type Pool struct {
	Name string `json:"name"`
	// CIDRs are given out from the first address to the last, both included.
	CIDRs []netip.Prefix `json:"cidrs,omitempty"`
	// Ranges are for what is no prefix, or for a subnet whose first and last address are not to be VIPs.
	Ranges []Range `json:"ranges,omitempty"`
}

// Range is written FIRST-LAST, both included.
type Range struct{ First, Last netip.Addr }

// UnmarshalText reads FIRST-LAST.
func (r *Range) UnmarshalText(text []byte) error {
	first, last, ok := strings.Cut(string(text), "-")
	if !ok {
		return fmt.Errorf("%q is no range: want FIRST-LAST", text)
	}
	var errs [2]error
	r.First, errs[0] = netip.ParseAddr(strings.TrimSpace(first))
	r.Last, errs[1] = netip.ParseAddr(strings.TrimSpace(last))
	return errors.Join(errs[:]...)
}

// MarshalText writes FIRST-LAST.
func (r Range) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

func (r Range) String() string { return r.First.String() + "-" + r.Last.String() }

func (r Range) contains(a netip.Addr) bool {
	return a.Is4() == r.First.Is4() && r.First.Compare(a) <= 0 && a.Compare(r.Last) <= 0
}

func (r Range) overlaps(other Range) bool { return r.contains(other.First) || other.contains(r.First) }

// all are a pool's addresses, in the order in which they are given out.
func (p *Pool) all() []Range {
	var all []Range
	for _, cidr := range p.CIDRs {
		all = append(all, Range{cidr.Masked().Addr(), lastOf(cidr)})
	}
	return append(all, p.Ranges...)
}

func lastOf(cidr netip.Prefix) netip.Addr {
	bytes := cidr.Addr().AsSlice()
	for bit := cidr.Bits(); bit < 8*len(bytes); bit++ {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ := netip.AddrFromSlice(bytes)
	return last
}

// Contain says whether an address is of one of the pools.
func Contain(pools []Pool, a netip.Addr) bool {
	for i := range pools {
		for _, r := range pools[i].all() {
			if r.contains(a) {
				return true
			}
		}
	}
	return false
}

// Check finds what is wrong with pools; field is where they are from.
func Check(field string, pools []Pool) []error {
	var errs []error
	type owned struct {
		Range
		pool string
	}
	var seen []owned
	names := map[string]bool{}
	for i := range pools {
		p := &pools[i]
		at := fmt.Sprintf("%s[%d]", field, i)
		say := func(format string, args ...any) { errs = append(errs, fmt.Errorf(at+format, args...)) }
		switch {
		case p.Name == "":
			say(".name: must be set")
		case names[p.Name]:
			say(".name: %q: there are two of this name", p.Name)
		}
		names[p.Name] = true
		if len(p.CIDRs)+len(p.Ranges) == 0 {
			say(": %q has no addresses: name cidrs or ranges", p.Name)
		}
		for n, cidr := range p.CIDRs {
			if cidr != cidr.Masked() {
				say(".cidrs[%d]: %s: has bits behind its length, use %s", n, cidr, cidr.Masked())
			}
		}
		for n, r := range p.Ranges {
			if r.First.Is4() != r.Last.Is4() || r.Last.Less(r.First) {
				say(".ranges[%d]: %s: must be from the lower address to the higher, of one family", n, r)
			}
		}
		for _, r := range p.all() {
			if !r.First.IsGlobalUnicast() || !r.Last.IsGlobalUnicast() || r.First.Is4In6() || r.First.Zone() != "" {
				say(": %s: must be unicast addresses", r)
			}
			for _, other := range seen {
				if r.overlaps(other.Range) {
					say(": %s overlaps with %s of pool %q", r, other.Range, other.pool)
				}
			}
			seen = append(seen, owned{r, p.Name})
		}
	}
	return errs
}
