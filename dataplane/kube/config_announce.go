package kube

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/dataplane/announce"
	"github.com/dsrlab/dsrlab/dataplane/kube/pools"
)

// Announce is how the network hears where VIPs are. Without a mode it does not hear of them from here.
type Announce struct {
	// Mode is l2 (one node of the nodes' network answers ARP and NDP for a VIP) or bgp (all nodes that can serve a VIP say so to
	// their routers).
	Mode announce.Mode `json:"mode,omitempty"`
	// CIDRs are which VIPs may be announced (default: those of loadBalancer.pools). Whoever may create a Service can ask for any
	// address, that of the gateway as well.
	CIDRs []netip.Prefix `json:"cidrs,omitempty"`
	// ASN is that of all nodes, for bgp.
	ASN uint32 `json:"asn,omitempty"`
	// Peers are the routers, for bgp.
	Peers []BGPPeer `json:"peers,omitempty"`
	// HoldSeconds is after how long without a word routers forget a node, for bgp (default 9; at least 3).
	HoldSeconds int `json:"holdSeconds,omitempty"`
}

// BGPPeer is a router that nodes call.
type BGPPeer struct {
	Address netip.Addr `json:"address"`
	ASN     uint32     `json:"asn"`
	Port    uint16     `json:"port,omitempty"` // default 179
}

// check finds what is wrong with values.
func (a *Announce) check(all []pools.Pool) []error {
	var errs []error
	say := func(format string, args ...any) { errs = append(errs, fmt.Errorf("announce."+format, args...)) }
	if _, err := announce.ParseMode(string(a.Mode)); err != nil {
		say("mode: %w", err)
	}
	errs = append(errs, checkPrefixes("announce.cidrs", a.CIDRs)...)
	if a.Mode != announce.ModeNone && len(a.CIDRs)+len(all) == 0 {
		say("cidrs: none: name which VIPs may be announced, or make loadBalancer.pools")
	}
	if a.Mode != announce.ModeBGP {
		if a.ASN != 0 || len(a.Peers) > 0 || a.HoldSeconds != 0 {
			say("asn, peers, holdSeconds: they are for mode bgp")
		}
		return errs
	}
	if a.ASN == 0 {
		say("asn: 0: name the nodes' own, such as 64513")
	}
	if len(a.Peers) == 0 {
		say("peers: none: name the routers")
	}
	for i, p := range a.Peers {
		if !p.Address.IsValid() {
			say("peers[%d].address: must be set", i)
		}
		if p.ASN == 0 {
			say("peers[%d].asn: must be set", i)
		}
	}
	if a.HoldSeconds != 0 && a.HoldSeconds < 3 {
		say("holdSeconds: %d: must be 3 at least (RFC 4271, section 4.2)", a.HoldSeconds)
	}
	return errs
}

// MayAnnounce says whether an address is a VIP that the network may hear of.
func (c *Config) MayAnnounce(vip netip.Addr) bool {
	if len(c.Announce.CIDRs) == 0 {
		return pools.Contain(c.LoadBalancer.Pools, vip)
	}
	return slices.ContainsFunc(c.Announce.CIDRs, func(p netip.Prefix) bool { return p.Contains(vip) })
}
