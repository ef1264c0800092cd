package kube

import (
	"log/slog"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestOwnRouter: a node can't be its own router; which node it is, the configuration of all nodes can't know.
func TestOwnRouter(t *testing.T) {
	own, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.254")
	o := Options{Node: "n", Addresses: []netip.Addr{own}, Log: slog.New(slog.DiscardHandler)}
	o.Config.Announce = Announce{Mode: AnnounceBGP, ASN: 64513, Peers: []BGPPeer{{Address: other, ASN: 64512}, {Address: own, ASN: 64512}}}
	_, err := newSpeaker(o)
	assert.EqualError(t, err, "announce.peers[1].address: 192.0.2.1: is this node's own, must be a router's")
}
