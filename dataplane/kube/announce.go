package kube

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"time"

	"github.com/dsrlab/dsrlab/dataplane/bgp"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

const (
	defaultHold         = 9 * time.Second
	defaultConnectRetry = time.Second
)

// VIPsOf returns the VIPs that a node announces, in order. It is pure.
func VIPsOf(node string, peers []Peer, tables *services.Tables, config Config) []netip.Addr {
	i := slices.IndexFunc(peers, func(p Peer) bool { return p.Name == node })
	if i < 0 || config.Announce.Mode != AnnounceBGP {
		return nil
	}
	p := peers[i]
	return bgp.VIPs(bgp.Node{Name: p.Name, Addresses: p.Addresses, Excluded: p.Excluded}, tables, config.Announce.allows)
}

// newSpeaker returns nil where nothing is announced.
func newSpeaker(o Options) (*bgp.Speaker, error) {
	config := o.Config.Announce
	if config.Mode != AnnounceBGP {
		return nil, nil
	}
	seconds := func(given int) time.Duration { return time.Duration(given) * time.Second }
	b := bgp.Options{
		ASN: config.ASN, ID: bgpID(o.Node, o.Addresses), NextHops: o.Addresses, Log: o.Log.With("announce", config.Mode),
		Timers: bgp.Timers{
			Hold:  cmp.Or(seconds(config.HoldSeconds), defaultHold),
			Retry: cmp.Or(seconds(config.ConnectRetrySeconds), defaultConnectRetry),
		},
	}
	for i, p := range config.Peers {
		if slices.Contains(o.Addresses, p.Address) {
			return nil, fmt.Errorf("announce.peers[%d].address: %s: is this node's own, must be a router's", i, p.Address)
		}
		b.Peers = append(b.Peers, bgp.Peer{Address: p.Address, ASN: p.ASN, Port: p.Port, Multihop: uint8(p.Multihop)})
	}
	return bgp.New(context.Background(), b)
}

// bgpID returns the node's IPv4 address. Without one it is made from the node's name, since it only has to be unique (RFC 6286).
func bgpID(node string, addresses []netip.Addr) netip.Addr {
	for _, a := range addresses {
		if a.Is4() {
			return a
		}
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(node))
	sum := h.Sum32() | 1
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
}

// announce announces the VIPs that the data path can serve.
func (a *Agent) announce(tables *services.Tables) error {
	if a.speaker == nil || !a.status.serves() {
		return nil
	}
	if err := a.speaker.Set(VIPsOf(a.options.Node, a.cluster.Peers(), tables, a.options.Config)); err != nil {
		return fmt.Errorf("announce VIPs: %w", err)
	}
	return nil
}

// leave withdraws all VIPs, so that other nodes take them over.
func (a *Agent) leave() error {
	if a.speaker == nil {
		return nil
	}
	return a.speaker.Leave()
}
