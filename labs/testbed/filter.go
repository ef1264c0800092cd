package testbed

import (
	"fmt"
	"net/netip"
	"strings"
)

// FlowFilter selects flows; an empty field matches all.
type FlowFilter struct {
	// From and To are a node's or pod's name, an address, or an address and port. To is also the frontend.
	From, To string
	// Verdict is FORWARDED or DROPPED, in any case.
	Verdict string
	// Reason is the data path's name for what it did, as in to-overlay-dsr.
	Reason string
}

// Validate returns an error for a value that could never match.
func (f FlowFilter) Validate() error {
	if v := strings.ToUpper(f.Verdict); v != "" && v != "FORWARDED" && v != "DROPPED" {
		return fmt.Errorf("verdict: unknown verdict %q (want forwarded or dropped)", f.Verdict)
	}
	return nil
}

// Match reports whether the flow passes the filter.
func (f FlowFilter) Match(flow Flow) bool {
	if f.From != "" && !isPeer(f.From, flow.Source) {
		return false
	}
	if f.To != "" && !isPeer(f.To, flow.Destination) && !isAddress(f.To, flow.Frontend) {
		return false
	}
	if f.Verdict != "" && !strings.EqualFold(f.Verdict, flow.Verdict) {
		return false
	}
	return f.Reason == "" || f.Reason == flow.Reason
}

func isPeer(text string, p Peer) bool { return text == p.Name || isAddress(text, p.Address) }

func isAddress(text string, a netip.AddrPort) bool {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr == a.Addr()
	}
	whole, err := netip.ParseAddrPort(text)
	return err == nil && whole == a
}
