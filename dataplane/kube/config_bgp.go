package kube

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// AnnounceBGP is the one mode of Announce: every node that can serve a VIP announces it to its routers.
const AnnounceBGP = "bgp"

// Announce configures the announcing of VIPs. Without a mode dsrd announces nothing.
type Announce struct {
	// Mode is bgp.
	Mode string `json:"mode,omitempty"`
	// CIDRs limit which VIPs may be announced. They are required: whoever may create a Service can ask for any address, the gateway's as
	// well.
	CIDRs []netip.Prefix `json:"cidrs,omitempty"`
	// ASN is that of all nodes.
	ASN uint32 `json:"asn,omitempty"`
	// Peers are the routers.
	Peers []BGPPeer `json:"peers,omitempty"`
	// HoldSeconds is after how long without a message routers consider a node dead (default 9; at least 3).
	HoldSeconds int `json:"holdSeconds,omitempty"`
}

// BGPPeer is a router that nodes connect to.
type BGPPeer struct {
	Address netip.Addr `json:"address"`
	ASN     uint32     `json:"asn"`
	Port    uint16     `json:"port,omitempty"` // default 179
}

// check returns everything that is wrong with a.
func (a *Announce) check() []error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf("announce."+format, args...)) }
	if a.Mode != "" && a.Mode != AnnounceBGP {
		add("mode: %q: must be bgp, or empty", a.Mode)
	}
	errs = append(errs, checkPrefixes("announce.cidrs", a.CIDRs)...)
	if a.Mode != AnnounceBGP {
		if a.ASN != 0 || len(a.Peers) > 0 || a.HoldSeconds != 0 {
			errs = append(errs, errors.New("announce.asn, peers, holdSeconds: they are for mode bgp"))
		}
		return errs
	}
	if len(a.CIDRs) == 0 {
		add("cidrs: none: name which VIPs may be announced")
	}
	if a.ASN == 0 {
		add("asn: 0: name the nodes' own, such as 64513")
	}
	if len(a.Peers) == 0 {
		add("peers: none: name the routers")
	}
	for i, p := range a.Peers {
		if !p.Address.IsValid() {
			add("peers[%d].address: must be set", i)
		}
		if p.ASN == 0 {
			add("peers[%d].asn: must be set", i)
		}
	}
	if a.HoldSeconds != 0 && a.HoldSeconds < 3 {
		add("holdSeconds: %d: must be 3 at least (RFC 4271, section 4.2)", a.HoldSeconds)
	}
	return errs
}

// allows reports whether vip may be announced.
func (a *Announce) allows(vip netip.Addr) bool {
	return slices.ContainsFunc(a.CIDRs, func(p netip.Prefix) bool { return p.Contains(vip) })
}
