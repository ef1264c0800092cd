// Package baseline installs what DSR is compared with: the rules of kube-proxy's nftables mode, the same without
// masquerading, or nothing. It talks to the kernel through netlink, to one network namespace at a time.
//
// The structure is that of pkg/proxy/nftables/proxier.go of Kubernetes 1.33, chain by chain and rule by rule, for IPv4 and IPv6.
// It differs in this: the first rule of each chain that only new connections pass counts them; a service whose source ranges
// are all of the other address family is closed to this one rather than open; topology hints, allocation checks of service
// CIDRs and per-chain comments are left out. There is no flowtable: every packet takes the full path, as it does under
// kube-proxy.
package baseline

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// Form is a way of balancing without DSR.
type Form string

const (
	// FormKubeProxy translates destination and, where the pod may be on another node, source.
	FormKubeProxy Form = "kube-proxy"
	// FormDNATOnly translates the destination alone. Answers of pods on other nodes go straight to the client, with
	// the pod's address as their source.
	FormDNATOnly Form = "dnat-only"
	// FormNone is plain routing: no rules at all.
	FormNone Form = "none"
)

// MasqueradeMark is the bit of a packet's mark that asks for masquerading (kube-proxy's default, --iptables-masquerade-bit 14).
const MasqueradeMark = 0x4000

// Config is what a node's rules follow from.
type Config struct {
	Form Form
	// Tables are the frontends and backends, the same on all nodes. Weights and modes are of no account here.
	Tables *services.Tables
	// Node is the node's name in Tables; it says which backends are local.
	Node string
	// NodeAddresses accept NodePort traffic (kube-proxy: --nodeport-addresses).
	NodeAddresses []netip.Addr
	// PodCIDRs hold the pods whose traffic counts as local (kube-proxy: --cluster-cidr); none: no traffic does.
	PodCIDRs []netip.Prefix
}

// check names all that is wrong with c.
func (c *Config) check() error {
	var errs []error
	switch c.Form {
	case FormNone:
		return nil
	case FormKubeProxy, FormDNATOnly:
	default:
		errs = append(errs, fmt.Errorf("form %q: use kube-proxy, dnat-only or none", c.Form))
	}
	if c.Node == "" {
		errs = append(errs, errors.New("node: must be named, or no backend is local"))
	}
	if c.Tables == nil {
		errs = append(errs, errors.New("tables: must be given"))
	}
	for _, address := range c.NodeAddresses {
		if !address.IsValid() || address.IsLoopback() || address.Is4In6() {
			errs = append(errs, fmt.Errorf("node address %s: use an IPv4 or IPv6 address of the network", address))
		}
	}
	for _, prefix := range c.PodCIDRs {
		if !prefix.IsValid() || prefix.Addr().Is4In6() {
			errs = append(errs, fmt.Errorf("pod CIDR %s: use a prefix like 10.0.0.0/24", prefix))
		}
	}
	return errors.Join(errs...)
}
