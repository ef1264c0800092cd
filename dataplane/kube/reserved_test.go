package kube

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// TestHostReserved: what a device's addresses and routes say that no Service may claim.
func TestHostReserved(t *testing.T) {
	prefixes := func(all ...string) (parsed []netip.Prefix) {
		for _, text := range all {
			parsed = append(parsed, netip.MustParsePrefix(text))
		}
		return parsed
	}
	gateways := func(all ...string) (parsed []netip.Addr) {
		for _, text := range all {
			parsed = append(parsed, netip.MustParseAddr(text))
		}
		return parsed
	}
	for _, test := range []struct {
		name     string
		prefixes []netip.Prefix
		gateways []netip.Addr
		want     map[string]string
	}{
		{"nothing", nil, nil, map[string]string{}},
		{"a network", prefixes("192.168.1.11/24"), gateways("192.168.1.1"), map[string]string{
			"192.168.1.0/32": "the network address of 192.168.1.0/24", "192.168.1.1/32": "the address of a gateway",
			"192.168.1.255/32": "the broadcast address of 192.168.1.0/24",
		}},
		{"not on an octet", prefixes("10.1.6.77/22"), nil, map[string]string{
			"10.1.4.0/32": "the network address of 10.1.4.0/22", "10.1.7.255/32": "the broadcast address of 10.1.4.0/22",
		}},
		{"IPv6", prefixes("2001:db8:1::11/64", "fe80::1/64"), gateways("fe80::fe"), map[string]string{
			"2001:db8:1::/128": "the anycast address of the routers of 2001:db8:1::/64", "fe80::fe/128": "the address of a gateway",
		}},
		{"a VIP on the device", prefixes("203.0.113.1/32", "2001:db8::1/128"), nil, map[string]string{}},
		{"loopback", prefixes("127.0.0.1/8", "::1/128"), nil, map[string]string{}},
		{"two hosts", prefixes("192.0.2.0/31", "2001:db8::/127"), nil, map[string]string{}},
		{"two addresses of a network", prefixes("192.0.2.1/30", "192.0.2.2/30"), gateways("192.0.2.2", "192.0.2.2"), map[string]string{
			"192.0.2.0/32": "the network address of 192.0.2.0/30", "192.0.2.2/32": "the address of a gateway",
			"192.0.2.3/32": "the broadcast address of 192.0.2.0/30",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			reserved := hostReserved(test.prefixes, test.gateways)
			got := map[string]string{}
			for _, r := range reserved {
				got[r.Prefix.String()] = r.What
				assert.Equal(t, r.What == "the address of a gateway" || r.Prefix.Addr().Is6(), r.Host, r.What)
			}
			assert.Equal(t, test.want, got)
			assert.Len(t, reserved, len(test.want), "each once")
		})
	}
}

// TestClusterReserved: a VIP may not be from where ClusterIPs and pods' addresses are, nor what a node's device says.
func TestClusterReserved(t *testing.T) {
	config := testConfig()
	config.Announce.Peers = []BGPPeer{{Address: netip.MustParseAddr("192.168.1.2"), ASN: 1}}
	c := NewCluster(config)
	for name, vip := range map[string]string{
		"router": "192.168.1.2", "free": "203.0.113.1", "cluster": "10.96.0.1", "pod": "10.244.9.9", "gateway": "192.168.1.1"} {
		s := &corev1.Service{}
		s.Namespace, s.Name = "d", name
		s.Spec.Type, s.Spec.Ports = corev1.ServiceTypeLoadBalancer, []corev1.ServicePort{{Port: 80}}
		s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: vip}}
		c.Take(eventOf(s, false))
	}
	c.SetReserved([]services.Reserved{{Prefix: netip.MustParsePrefix("192.168.1.1/32"), What: "the address of a gateway", Host: true}})
	assert.Len(t, c.Tables().Frontends, 1)
	var problems []string
	for _, p := range c.Problems() {
		problems = append(problems, p.Error())
	}
	assert.Equal(t, []string{
		"service d/cluster: status.loadBalancer.ingress[0].ip: 10.96.0.1 is in serviceCIDRs 10.96.0.0/16, where ClusterIPs are from; use an address that no host has",
		"service d/gateway: status.loadBalancer.ingress[0].ip: 192.168.1.1 is the address of a gateway; use an address that no host has",
		"service d/pod: status.loadBalancer.ingress[0].ip: 10.244.9.9 is in podNetwork.cidrs 10.244.0.0/16, where pods' addresses are from; use an address that no host has",
		"service d/router: status.loadBalancer.ingress[0].ip: 192.168.1.2 is the address of the router announce.peers[0]; use an address that no host has",
	}, problems)
}
