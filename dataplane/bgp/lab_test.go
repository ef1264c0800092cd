package bgp

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
)

var four, six = netip.MustParseAddr("192.168.2.3"), netip.MustParseAddr("2001:db8:2::3")

func TestValidate(t *testing.T) {
	good := Announcement{RouterID: four, Router: six, NextHops: []netip.Addr{four, six}, VIPs: []netip.Addr{
		netip.MustParseAddr("185.150.8.128"), netip.MustParseAddr("2001:db8:8::128"),
	}}
	assert.NoError(t, good.Validate())
	onlyFour := good
	onlyFour.NextHops = []netip.Addr{four}
	assert.EqualError(t, onlyFour.Validate(), "next hop: want one of the same IP version as VIP 2001:db8:8::128")
	assert.EqualError(t, new(Announcement).Validate(),
		"router id: want an IPv4 address\nrouter: want the address of the router\nvip: want at least one to announce")
	assert.EqualError(t, (&Router{ID: six}).Validate(), "router id: want an IPv4 address\npeer: want at least one to listen to")
}

func TestBirdConfig(t *testing.T) {
	r := Router{ID: four, Peers: []netip.Addr{netip.MustParseAddr("192.168.2.11"), netip.MustParseAddr("192.168.2.12")}}
	assert.NoError(t, r.Validate())
	assert.Equal(t, `router id 192.168.2.3;
log stderr all;
protocol device {}
protocol kernel {
  merge paths on;
  metric 20;
  ipv4 { import none; export where source = RTS_BGP; };
}
protocol kernel {
  merge paths on;
  metric 20;
  ipv6 { import none; export where source = RTS_BGP; };
}
template bgp lb_node {
  local as 64512;
  hold time 3;
  connect retry time 1;
  error wait time 1, 2;
  passive on;
  direct;
  ipv4 { import where net.len = 32; export none; };
  ipv6 { import where net.len = 128; export none; };
}
protocol bgp lb1 from lb_node { neighbor 192.168.2.11 as 64513; }
protocol bgp lb2 from lb_node { neighbor 192.168.2.12 as 64513; }
`, r.BirdConfig())
}
