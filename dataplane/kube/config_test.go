package kube

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

const head = "apiVersion: dsrlab.dev/v1alpha1\nkind: AgentConfig\n"

// TestConfig: the least that one has to say is the talk's configuration.
func TestConfig(t *testing.T) {
	c, err := ParseConfig("config.yaml", []byte(head))
	require.NoError(t, err)
	assert.Equal(t, DefaultConfig(), c)
	assert.Equal(t, services.ModeDSR, c.LoadBalancer.Mode)

	c, err = ParseConfig("config.yaml", []byte(head+`
loadBalancer: {mode: hybrid, hook: xdp}
podNetwork: {enabled: true, cidrs: [10.244.0.0/16, "fd00:10:244::/56"]}
serviceCIDRs: [10.96.0.0/16]
sizes: {slots: 65536, flows: 1000000}
`))
	require.NoError(t, err)
	assert.Equal(t, services.ModeHybrid, c.LoadBalancer.Mode)
	assert.Equal(t, dataplane.Sizes{Slots: 65536, Flows: 1000000}, c.Sizes)
	assert.Equal(t, "geneve", c.LoadBalancer.DSRDispatch, "what it does not say stays")
	assert.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:10:244::/56")}, c.PodNetwork.CIDRs)
}

// TestConfigHealthz: the node's health is told at kube-proxy's port, elsewhere, or nowhere.
func TestConfigHealthz(t *testing.T) {
	for config, want := range map[string]string{
		"": ":10256", `healthzBindAddress: ""`: "", "healthzBindAddress: 192.0.2.1:10300": "192.0.2.1:10300", `healthzBindAddress: "[::]:10256"`: "[::]:10256",
	} {
		c, err := ParseConfig("config.yaml", []byte(head+config))
		require.NoError(t, err, config)
		assert.Equal(t, want, c.HealthzBindAddress, config)
	}
	for _, address := range []string{"10256", "node:10256", ":0", ":65536", "192.0.2.1", ":http"} {
		_, err := ParseConfig("config.yaml", []byte(head+"healthzBindAddress: '"+address+"'"))
		assert.ErrorContains(t, err, "healthzBindAddress", address)
	}
}

// TestConfigAnnounce: only VIPs of announce.cidrs may be announced.
func TestConfigAnnounce(t *testing.T) {
	c, err := ParseConfig("config.yaml", []byte(head+`
announce: {mode: bgp, cidrs: [192.0.2.128/25], asn: 64513, peers: [{address: 198.51.100.1, asn: 64512}]}
`))
	require.NoError(t, err)
	assert.Equal(t, Announce{
		Mode: AnnounceBGP, CIDRs: []netip.Prefix{netip.MustParsePrefix("192.0.2.128/25")}, ASN: 64513,
		Peers: []BGPPeer{{Address: netip.MustParseAddr("198.51.100.1"), ASN: 64512}},
	}, c.Announce)
	assert.True(t, c.Announce.allows(netip.MustParseAddr("192.0.2.128")))
	assert.False(t, c.Announce.allows(netip.MustParseAddr("192.0.2.1")))
}

// TestConfigRefused: all that is wrong is said at once, with the file and the field.
func TestConfigRefused(t *testing.T) {
	for _, test := range []struct{ name, config, want string }{
		{"empty", "", `c.yaml: apiVersion: "": must be dsrlab.dev/v1alpha1
c.yaml: kind: "": must be AgentConfig`},
		{"values", head + `
kubeProxyReplacement: false
routingMode: native
tunnelProtocol: vxlan
loadBalancer: {mode: DSR, dsrDispatch: opt, hook: generic, externalIPs: [203.0.113.1/24]}
podNetwork: {enabled: true}
serviceCIDRs: [10.96.0.1/16]
sizes: {flows: 300000000, events: 5000}
drainSeconds: -1
healthzBindAddress: localhost:0
`, `c.yaml: routingMode: "native": must be tunnel
c.yaml: tunnelProtocol: "vxlan": must be geneve
c.yaml: loadBalancer.dsrDispatch: "opt": must be geneve
c.yaml: kubeProxyReplacement: false: must be true, as nothing else serves ClusterIPs
c.yaml: loadBalancer.mode: "DSR": must be snat, dsr or hybrid
c.yaml: loadBalancer.hook: "generic": must be tc or xdp
c.yaml: loadBalancer.externalIPs[0]: 203.0.113.1/24: has bits behind its length, use 203.0.113.0/24
c.yaml: healthzBindAddress: "localhost:0": must be ADDRESS:PORT, :PORT, or empty
c.yaml: sizes.flows: 300000000: must be 268435456 at most
c.yaml: sizes.events: 5000: must be a power of two from 64 on
c.yaml: serviceCIDRs[0]: 10.96.0.1/16: has bits behind its length, use 10.96.0.0/16
c.yaml: podNetwork.cidrs: none: name where pods' addresses are from, such as 10.244.0.0/16
c.yaml: drainSeconds: -1: must be from 0 to 3600`},
		{"an hour and more", head + "drainSeconds: 10000000000\nloadBalancer: {externalIPs: ['']}\n", `c.yaml: loadBalancer.externalIPs[0]: empty: must be a prefix such as 192.0.2.0/24
c.yaml: drainSeconds: 10000000000: must be from 0 to 3600`},
		{"no configuration", "hello", "c.yaml: found only a value of type string (want an AgentConfig: fields with values)"},
		{"a value for a list", head + "serviceCIDRs: 10.96.0.0/16\n", "c.yaml: serviceCIDRs: found a value of type string (want a list)"},
		{"a list for a number", head + "drainSeconds: []\n", "c.yaml: drainSeconds: found a value of type array, which it can't have"},
		{"pools", head + "loadBalancer: {pools: []}\n", `c.yaml: unknown field "loadBalancer.pools"`},
		{"table size", head + "loadBalancer: {mode: dsr, tableSize: 251}\n",
			`c.yaml: unknown field "loadBalancer.tableSize": leave it out, as all sets of backends have the same number of slots now`},
		{"announce", head + "announce: {mode: l2, asn: 1}\n", `c.yaml: announce.mode: "l2": must be bgp, or empty
c.yaml: announce.asn, peers, holdSeconds, connectRetrySeconds: they are for mode bgp`},
		{"no CIDRs", head + "announce: {mode: bgp, asn: 1, peers: [{address: 192.0.2.1, asn: 2}]}\n",
			`c.yaml: announce.cidrs: none: name which VIPs may be announced`},
		{"BGP", head + "announce: {mode: bgp, cidrs: [192.0.2.1/24], holdSeconds: 2}\n", `c.yaml: announce.cidrs[0]: 192.0.2.1/24: has bits behind its length, use 192.0.2.0/24
c.yaml: announce.asn: 0: name the nodes' own, such as 64513
c.yaml: announce.peers: none: name the routers
c.yaml: announce.holdSeconds: 2: must be from 3 to 65535 (RFC 4271, section 4.2)`},
		{"BGP timers", head + "announce: {mode: bgp, cidrs: [192.0.2.0/24], asn: 65535, peers: [{address: 192.0.2.1, asn: 1}], holdSeconds: 70000, connectRetrySeconds: 3601}\n",
			`c.yaml: announce.asn: 65535: is reserved, use one such as 64513
c.yaml: announce.holdSeconds: 70000: must be from 3 to 65535 (RFC 4271, section 4.2)
c.yaml: announce.connectRetrySeconds: 3601: must be from 1 to 3600`},
		{"negative BGP timers", head + "announce: {mode: bgp, cidrs: [192.0.2.0/24], asn: 1, peers: [{address: 192.0.2.1, asn: 1}], holdSeconds: -1, connectRetrySeconds: -1}\n",
			`c.yaml: announce.holdSeconds: -1: must be from 3 to 65535 (RFC 4271, section 4.2)
c.yaml: announce.connectRetrySeconds: -1: must be from 1 to 3600`},
		{"routers", head + `announce:
  mode: bgp
  cidrs: [192.0.2.0/24]
  asn: 1
  peers:
  - {address: 192.0.2.1, asn: 2}
  - {address: 192.0.2.1, asn: 2, port: 1790}
  - {address: 224.0.0.5, asn: 2}
  - {address: 0.0.0.0, asn: 2}
  - {address: 127.0.0.1, asn: 2}
  - {address: 255.255.255.255, asn: 2}
  - {address: "ff02::5", asn: 23456}
  - {address: "fe80::1", asn: 2, multihop: 1}
  - {address: "::ffff:192.0.2.1", asn: 2, multihop: 256}
  - {address: 192.0.2.2, asn: 1, multihop: 2}
  - {address: 192.0.2.3, asn: 2, multihop: 255}
`, `c.yaml: announce.peers[1].address: 192.0.2.1: is that of peers[0], too
c.yaml: announce.peers[2].address: 224.0.0.5: must be the unicast address of a router, and not link-local
c.yaml: announce.peers[3].address: 0.0.0.0: must be the unicast address of a router, and not link-local
c.yaml: announce.peers[4].address: 127.0.0.1: must be the unicast address of a router, and not link-local
c.yaml: announce.peers[5].address: 255.255.255.255: must be the unicast address of a router, and not link-local
c.yaml: announce.peers[6].address: ff02::5: must be the unicast address of a router, and not link-local
c.yaml: announce.peers[6].asn: 23456: is reserved
c.yaml: announce.peers[7].address: fe80::1: must be the unicast address of a router, and not link-local
c.yaml: announce.peers[7].multihop: 1: must be a TTL from 2 to 255
c.yaml: announce.peers[8].address: ::ffff:192.0.2.1: must be the unicast address of a router, and not link-local
c.yaml: announce.peers[8].multihop: 256: must be a TTL from 2 to 255
c.yaml: announce.peers[9].multihop: 2: is for routers of another AS`},
		{"a router", head + "announce: {mode: bgp, cidrs: [192.0.2.0/24], asn: 1, peers: [{}]}\n", `c.yaml: announce.peers[0].address: must be set
c.yaml: announce.peers[0].asn: must be set`},
		{"unknown fields", head + "mode: dsr\nloadBalancer: {mod: dsr}\n", `c.yaml: unknown field "loadBalancer.mod"
c.yaml: unknown field "mode"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseConfig("c.yaml", []byte(test.config))
			require.EqualError(t, err, test.want)
		})
	}
}
