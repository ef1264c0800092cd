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
	// HoldSeconds is after how long without a message routers consider a node dead (default 9; from 3 to 65535).
	HoldSeconds int `json:"holdSeconds,omitempty"`
	// ConnectRetrySeconds is how long to wait before connecting to a router again (default 1; up to 3600). GoBGP waits for 2 at least.
	ConnectRetrySeconds int `json:"connectRetrySeconds,omitempty"`
}

// BGPPeer is a router that nodes connect to.
type BGPPeer struct {
	Address netip.Addr `json:"address"`
	ASN     uint32     `json:"asn"`
	Port    uint16     `json:"port,omitempty"` // default 179
	// Multihop is the TTL of packets to a router of another AS that is no neighbour, from 2 to 255 (default: it is one, and packets have TTL 1).
	Multihop int `json:"multihop,omitempty"`
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
		if a.ASN != 0 || len(a.Peers) > 0 || a.HoldSeconds != 0 || a.ConnectRetrySeconds != 0 {
			errs = append(errs, errors.New("announce.asn, peers, holdSeconds, connectRetrySeconds: they are for mode bgp"))
		}
		return errs
	}
	if len(a.CIDRs) == 0 {
		add("cidrs: none: name which VIPs may be announced")
	}
	if a.ASN == 0 {
		add("asn: 0: name the nodes' own, such as 64513")
	} else if isReservedASN(a.ASN) {
		add("asn: %d: is reserved, use one such as 64513", a.ASN)
	}
	if len(a.Peers) == 0 {
		add("peers: none: name the routers")
	}
	for i := range a.Peers {
		a.checkPeer(i, add)
	}
	if a.HoldSeconds != 0 && (a.HoldSeconds < 3 || a.HoldSeconds > 65535) {
		add("holdSeconds: %d: must be from 3 to 65535 (RFC 4271, section 4.2)", a.HoldSeconds)
	}
	if a.ConnectRetrySeconds < 0 || a.ConnectRetrySeconds > 3600 {
		add("connectRetrySeconds: %d: must be from 1 to 3600", a.ConnectRetrySeconds)
	}
	return errs
}

// checkPeer adds everything that is wrong with a peer.
func (a *Announce) checkPeer(i int, add func(format string, args ...any)) {
	p := &a.Peers[i]
	switch same := slices.IndexFunc(a.Peers[:i], func(other BGPPeer) bool { return other.Address == p.Address }); {
	case !p.Address.IsValid():
		add("peers[%d].address: must be set", i)
	case !p.Address.IsGlobalUnicast() || p.Address.Zone() != "" || p.Address.Is4In6():
		add("peers[%d].address: %s: must be the unicast address of a router, and not link-local", i, p.Address)
	case same >= 0:
		add("peers[%d].address: %s: is that of peers[%d], too", i, p.Address, same)
	}
	switch {
	case p.ASN == 0:
		add("peers[%d].asn: must be set", i)
	case isReservedASN(p.ASN):
		add("peers[%d].asn: %d: is reserved", i, p.ASN)
	}
	switch {
	case p.Multihop == 0:
	case p.Multihop < 2 || p.Multihop > 255:
		add("peers[%d].multihop: %d: must be a TTL from 2 to 255", i, p.Multihop)
	case p.ASN == a.ASN:
		add("peers[%d].multihop: %d: is for routers of another AS", i, p.Multihop)
	}
}

// isReservedASN reports whether nobody can have the number (RFC 6793, RFC 7300).
func isReservedASN(asn uint32) bool { return asn == 23456 || asn == 65535 || asn == 4294967295 }

// allows reports whether vip may be announced.
func (a *Announce) allows(vip netip.Addr) bool {
	return slices.ContainsFunc(a.CIDRs, func(p netip.Prefix) bool { return p.Contains(vip) })
}
