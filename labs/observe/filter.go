package observe

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/manifest"
)

// Filter selects flows; an empty field matches all.
type Filter struct {
	// From and To are a node's or pod's name, an address, or an address and port. To is also the frontend.
	From, To string
	// Verdict is FORWARDED or DROPPED, in any case.
	Verdict string
	// Reason is the data path's name for what it did, as in to-overlay-dsr.
	Reason string
}

// Check returns an error for each field that could never match a flow of a testbed of this plan.
func (f Filter) Check(plan *topologies.Plan) error {
	var known []string
	for _, n := range plan.Nodes {
		known = append(known, n.Name)
	}
	for _, p := range plan.Pods {
		known = append(known, p.Name)
	}
	return errors.Join(f.Validate(), checkPeer("from", f.From, known), checkPeer("to", f.To, known))
}

// Validate returns an error for each field that could never match on any testbed.
func (f Filter) Validate() error {
	var errs []error
	verdicts := []string{"forwarded", "dropped"}
	if f.Verdict != "" && !slices.Contains(verdicts, strings.ToLower(f.Verdict)) {
		errs = append(errs, fmt.Errorf("verdict: unknown verdict %q%s", f.Verdict, manifest.Suggest(f.Verdict, verdicts)))
	}
	if f.Reason == "" {
		return errors.Join(errs...)
	}
	names, err := dataplane.LoadNames()
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	var reasons []string
	for _, r := range names.Reasons() {
		if names.Reason(r) != notReported {
			reasons = append(reasons, names.Reason(r))
		}
	}
	if !slices.Contains(reasons, f.Reason) {
		errs = append(errs, fmt.Errorf("reason: unknown reason %q%s", f.Reason, manifest.Suggest(f.Reason, reasons)))
	}
	return errors.Join(errs...)
}

// notReported is the reason of packets that are left to the kernel, and of which there are no flows.
const notReported = "not-ours"

// checkPeer returns an error for a text that is neither a known name nor an address.
func checkPeer(field, text string, known []string) error {
	_, noAddress := netip.ParseAddr(text)
	_, noPort := netip.ParseAddrPort(text)
	if text == "" || slices.Contains(known, text) || noAddress == nil || noPort == nil {
		return nil
	}
	if strings.ContainsAny(text, ":/") || strings.Trim(text, "0123456789.") == "" {
		return fmt.Errorf("%s: %q is not an address (want a name, an address, or an address and port, as in 192.0.2.1:80 or [2001:db8::1]:80)", field, text)
	}
	return fmt.Errorf("%s: unknown node or pod %q%s", field, text, manifest.Suggest(text, known))
}

// Match reports whether the flow passes the filter.
func (f Filter) Match(flow Flow) bool {
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
