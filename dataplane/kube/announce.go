package kube

import (
	"context"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"time"

	"github.com/dsrlab/dsrlab/dataplane/announce"
	"github.com/dsrlab/dsrlab/dataplane/announce/bgp"
	"github.com/dsrlab/dsrlab/dataplane/announce/l2"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

const (
	defaultHold = 9 * time.Second
	callAgain   = time.Second // after a session has ended
)

// AnnouncementsOf is a node's part in announcing VIPs. It is pure.
func AnnouncementsOf(node string, peers []Peer, tables *services.Tables, config Config) []announce.Announcement {
	var nodes []announce.Node
	for _, p := range peers {
		nodes = append(nodes, announce.Node{Name: p.Name, Addresses: p.Addresses, NotReady: p.NotReady, Excluded: p.Excluded})
	}
	return announce.Of(config.Announce.Mode, announce.View{Node: node, Nodes: nodes, Tables: tables, Within: config.MayAnnounce})
}

// announcer tells the network about VIPs.
type announcer interface {
	// Set takes the whole of a node's part.
	Set([]announce.Announcement) error
	// Leave lets other nodes take over.
	Leave() error
	Close() error
}

// newAnnouncer is nil where nothing is announced.
func newAnnouncer(o Options, device *net.Interface) (announcer, error) {
	config := o.Config.Announce
	log := o.Log.With("announce", string(config.Mode))
	switch config.Mode {
	case announce.ModeL2:
		return l2.Listen(device, log)
	case announce.ModeBGP:
		hold := defaultHold
		if config.HoldSeconds != 0 {
			hold = time.Duration(config.HoldSeconds) * time.Second
		}
		b := bgp.Options{
			ASN: config.ASN, ID: bgpID(o.Node, o.Addresses), NextHops: o.Addresses, Log: log,
			Times: bgp.Times{Hold: hold, Retry: callAgain},
		}
		for _, p := range config.Peers {
			b.Peers = append(b.Peers, bgp.Peer{Address: p.Address, ASN: p.ASN, Port: p.Port})
		}
		return bgp.New(context.Background(), b)
	}
	return nil, nil
}

// bgpID is the node's IPv4 address, or where it has none a number made of its name, which need only be unique (RFC 6286).
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

// announce tells the network what the data path can serve.
func (a *Agent) announce(tables *services.Tables) error {
	if a.announcer == nil || !a.applied.Load() {
		return nil
	}
	all := AnnouncementsOf(a.options.Node, a.cluster.Peers(), tables, a.options.Config)
	if err := a.announcer.Set(all); err != nil {
		return fmt.Errorf("announce VIPs: %w", err)
	}
	return nil
}

// leave lets other nodes take VIPs over.
func (a *Agent) leave() error {
	if a.announcer == nil {
		return nil
	}
	return a.announcer.Leave()
}
