package kube

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
`))
	require.NoError(t, err)
	assert.Equal(t, services.ModeHybrid, c.LoadBalancer.Mode)
	assert.Equal(t, "geneve", c.LoadBalancer.DSRDispatch, "what it does not say stays")
	assert.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:10:244::/56")}, c.PodNetwork.CIDRs)
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
drainSeconds: -1
`, `c.yaml: routingMode: "native": must be tunnel
c.yaml: tunnelProtocol: "vxlan": must be geneve
c.yaml: loadBalancer.dsrDispatch: "opt": must be geneve
c.yaml: kubeProxyReplacement: false: must be true, as nothing else serves ClusterIPs
c.yaml: loadBalancer.mode: "DSR": must be snat, dsr or hybrid
c.yaml: loadBalancer.hook: "generic": must be tc or xdp
c.yaml: loadBalancer.tableSize: 250: must be a prime from 3 to 65537
c.yaml: serviceCIDRs[0]: 10.96.0.1/16: has bits behind its length, use 10.96.0.0/16
c.yaml: podNetwork.cidrs: none: name where pods' addresses are from, such as 10.244.0.0/16
c.yaml: drainSeconds: -1: must not be negative`},
		{"unknown fields", head + "mode: dsr\nloadBalancer: {mod: dsr}\n", `c.yaml: unknown field "loadBalancer.mod"
c.yaml: unknown field "mode"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseConfig("c.yaml", []byte(test.config))
			require.EqualError(t, err, test.want)
		})
	}
}
