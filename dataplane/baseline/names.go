package baseline

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"net/netip"
	"strings"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// Chains and sets that exist whatever the services are, named as kube-proxy names them.
const (
	chainFilterPrerouting = "filter-prerouting-pre-dnat"
	chainFilterOutputPre  = "filter-output-pre-dnat"
	chainFilterInput      = "filter-input"
	chainFilterForward    = "filter-forward"
	chainFilterOutput     = "filter-output"
	chainNATPrerouting    = "nat-prerouting"
	chainNATOutput        = "nat-output"
	chainNATPostrouting   = "nat-postrouting"

	chainServices          = "services"
	chainServiceEndpoints  = "service-endpoints-check"
	chainNodePortEndpoints = "nodeport-endpoints-check"
	chainClusterIPs        = "cluster-ips-check"
	chainFirewall          = "firewall-check"
	chainReject            = "reject-chain"
	chainMark              = "mark-for-masquerade"
	chainMasquerade        = "masquerading"

	setClusterIPs          = "cluster-ips"
	setNodePortIPs         = "nodeport-ips"
	mapServiceIPs          = "service-ips"
	mapNodePorts           = "service-nodeports"
	mapFirewallIPs         = "firewall-ips"
	mapNoEndpointServices  = "no-endpoint-services"
	mapNoEndpointNodePorts = "no-endpoint-nodeports"
)

// Prefixes of the names of chains and sets that a service port has.
const (
	prefixCluster  = "service-"
	prefixLocal    = "local-"
	prefixExternal = "external-"
	prefixFirewall = "firewall-"
	prefixEndpoint = "endpoint-"
	prefixAffinity = "affinity-"
)

// longestName leaves room for a prefix in the kernel's NFT_NAME_MAXLEN, 256 with the terminating zero.
const longestName = 240

// servicePortName is what the names of a service port's chains have in common, HASH-NAMESPACE/NAME/PROTOCOL/PORT.
func servicePortName(service string, protocol services.Protocol, portName string) string {
	return hashed(fmt.Sprintf("%s/%s/%s", service, protocolName(protocol), portName))
}

// endpointName is the same of one endpoint of a service port, with __ADDRESS/PORT at its end.
func endpointName(service string, protocol services.Protocol, portName string, endpoint netip.AddrPort) string {
	address := strings.ReplaceAll(endpoint.Addr().String(), ":", ".") // colons can't be in a chain's name
	return hashed(fmt.Sprintf("%s/%s/%s__%s/%d", service, protocolName(protocol), portName, address, endpoint.Port()))
}

// hashed puts the start of a name's hash before it, which keeps names that had to be cut apart.
func hashed(name string) string {
	hash := sha256.Sum256([]byte(name))
	name = base32.StdEncoding.EncodeToString(hash[:])[:8] + "-" + name
	if len(name) > longestName {
		name = name[:longestName-3] + "..."
	}
	return name
}

// protocolName is the protocol as nft writes it.
func protocolName(p services.Protocol) string { return strings.ToLower(p.String()) }
