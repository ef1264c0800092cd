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

// Sysctl is a kernel setting of one network namespace.
type Sysctl struct {
	// Name below /proc/sys, with slashes.
	Name  string
	Value string
	// Why in a few words.
	Why string
}

// Sysctls are what a form needs in the node's namespace besides its rules; device is the node's device towards the clients.
// Whoever makes the namespace sets them. Nothing global is among them (nf_conntrack_max is, and is left alone).
func Sysctls(form Form, device string) []Sysctl {
	const redirects = "requests leave by the device they came in by: telling clients so is wrong after DNAT, and uses up the rate at " +
		"which ICMP errors may be sent"
	all := []Sysctl{
		{"net/ipv4/ip_forward", "1", "requests are forwarded to pods"},
		{"net/ipv6/conf/all/forwarding", "1", "as for IPv4"},
		{"net/ipv4/conf/all/send_redirects", "0", redirects},
		{"net/ipv4/conf/" + device + "/send_redirects", "0", redirects},
	}
	if form == FormNone {
		return all
	}
	return append(all,
		// The values of kube-proxy's defaults (--conntrack-tcp-timeout-established, --conntrack-tcp-timeout-close-wait).
		Sysctl{"net/netfilter/nf_conntrack_tcp_timeout_established", "86400", "an idle connection keeps its backend for a day"},
		Sysctl{"net/netfilter/nf_conntrack_tcp_timeout_close_wait", "3600", "a half-closed one for an hour"})
}
