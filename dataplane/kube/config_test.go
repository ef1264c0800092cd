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
loadBalancer: {mode: hybrid, hook: xdp, tableSize: 251}
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
loadBalancer: {mode: DSR, dsrDispatch: opt, hook: generic, tableSize: 250}
podNetwork: {enabled: true}
serviceCIDRs: [10.96.0.1/16]
sizes: {flows: 300000000, events: 5000}
drainSeconds: -1
`, `c.yaml: routingMode: "native": must be tunnel
c.yaml: tunnelProtocol: "vxlan": must be geneve
c.yaml: loadBalancer.dsrDispatch: "opt": must be geneve
c.yaml: kubeProxyReplacement: false: must be true, as nothing else serves ClusterIPs
c.yaml: loadBalancer.mode: "DSR": must be snat, dsr or hybrid
c.yaml: loadBalancer.hook: "generic": must be tc or xdp
c.yaml: loadBalancer.tableSize: 250: must be a prime from 3 to 65537
c.yaml: sizes.flows: 300000000: must be 268435456 at most
c.yaml: sizes.events: 5000: must be a power of two from 4096 on
c.yaml: serviceCIDRs[0]: 10.96.0.1/16: has bits behind its length, use 10.96.0.0/16
c.yaml: podNetwork.cidrs: none: name where pods' addresses are from, such as 10.244.0.0/16
c.yaml: drainSeconds: -1: must not be negative`},
		{"pools", head + "loadBalancer: {pools: []}\n", `c.yaml: unknown field "loadBalancer.pools"`},
		{"announce", head + "announce: {mode: l2, asn: 1}\n", `c.yaml: announce.mode: "l2": must be bgp, or empty
c.yaml: announce.asn, peers, holdSeconds: they are for mode bgp`},
		{"no CIDRs", head + "announce: {mode: bgp, asn: 1, peers: [{address: 192.0.2.1, asn: 2}]}\n",
			`c.yaml: announce.cidrs: none: name which VIPs may be announced`},
		{"BGP", head + "announce: {mode: bgp, cidrs: [192.0.2.1/24], holdSeconds: 2}\n", `c.yaml: announce.cidrs[0]: 192.0.2.1/24: has bits behind its length, use 192.0.2.0/24
c.yaml: announce.asn: 0: name the nodes' own, such as 64513
c.yaml: announce.peers: none: name the routers
c.yaml: announce.holdSeconds: 2: must be 3 at least (RFC 4271, section 4.2)`},
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
