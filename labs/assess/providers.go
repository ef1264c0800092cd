package assess

import (
	"maps"
	"slices"
	"strings"
)

// NotVerified is the Source of a provider for which no public source was found.
const NotVerified = "not verified"

// Provider is who runs the network of a cluster's nodes, and what it has against foreign sources.
type Provider struct {
	Name string `json:"name"`
	// IDs are what a node's provider ID begins with, and Labels are names of labels that only this provider's nodes have.
	IDs    []string `json:"ids"`
	Labels []string `json:"labels,omitempty"`
	// Causes are those that the provider's switch is about.
	Causes []Cause `json:"causes"`
	// Switch says what to change; empty if there is none, or none is known. Commands are how.
	Switch   string   `json:"switch,omitempty"`
	Commands []string `json:"commands,omitempty"`
	// Consequence is what else the switch changes.
	Consequence string `json:"consequence,omitempty"`
	// Source is where it is documented, or NotVerified.
	Source string `json:"source"`
}

// Providers returns all providers that are known.
func Providers() []Provider { return slices.Concat(clouds(), virtualizers(), gateways(), unverified()) }

// clouds are those whose switch is one of a machine's network interface.
func clouds() []Provider {
	return []Provider{
		{
			Name: "AWS EC2", IDs: []string{"aws://"}, Labels: []string{"eks.amazonaws.com/nodegroup", "k8s.io/cloud-provider-aws"}, Causes: []Cause{SourceCheck},
			Switch:      "set SourceDestCheck to false on every network interface of every node",
			Commands:    []string{"aws ec2 modify-instance-attribute --instance-id INSTANCE --no-source-dest-check", "aws ec2 modify-network-interface-attribute --network-interface-id ENI --no-source-dest-check"},
			Consequence: "The instance may send with any source, and receive for any destination that a route table leads to it. New nodes need it, too.",
			Source:      "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-eni.html, https://github.com/cilium/cilium/pull/26582",
		},
		{
			Name: "Azure", IDs: []string{"azure://"}, Labels: []string{"kubernetes.azure.com/cluster"}, Causes: []Cause{SourceCheck},
			Switch:      "enable IP forwarding on every node's network interface (of a scale set: in its network profile)",
			Commands:    []string{"az network nic update --resource-group GROUP --name NIC --ip-forwarding true"},
			Consequence: "Azure's load balancer still keeps connections with the node that it chose: on AKS, DSR with Geneve was reported to fail behind it.",
			Source:      "https://learn.microsoft.com/powershell/module/Az.Network/Set-AzNetworkInterface, https://github.com/cilium/cilium/issues/31169",
		},
		{
			Name: "Google Compute Engine", IDs: []string{"gce://"}, Labels: []string{"cloud.google.com/gke-nodepool"}, Causes: []Cause{SourceCheck},
			Switch:      "make the nodes with canIpForward (it is chosen when an instance is made)",
			Commands:    []string{"gcloud compute instances create NODE --can-ip-forward"},
			Consequence: "The instance may send and receive packets whose source or destination does not match its own.",
			Source:      "https://pub.dev/documentation/pulumi_google_native/latest/compute/InstanceComputeV1/canIpForward.html, https://github.com/NixOS/nixops/pull/987",
		},
		{
			Name: "OpenStack", IDs: []string{"openstack://"}, Causes: []Cause{PortSecurity},
			Switch: "add the frontends' addresses to the allowed address pairs of every node's port, or switch the port's security off",
			Commands: []string{
				"openstack port set PORT --allowed-address ip-address=VIP",
				"openstack port set PORT --no-security-group --disable-port-security",
			},
			Consequence: "Without port security the port has no security groups either.",
			Source:      "https://docs.redhat.com/en/documentation/red_hat_openstack_platform/13/html/networking_guide/config-allowed-address-pairs_rhosp-network, https://github.com/metallb/metallb/issues/486",
		},
		{
			Name: "Oracle Cloud", IDs: []string{"oci://", "ocid1."}, Causes: []Cause{SourceCheck},
			Switch:      "skip the source and destination check on every node's VNIC",
			Commands:    []string{"oci network vnic update --vnic-id VNIC --skip-source-dest-check true"},
			Consequence: "The VNIC may send with any source, and receive for any destination.",
			Source:      "https://docs.oracle.com/iaas/tools/oci-cli/latest/oci_cli_docs/cmdref/network/vnic/update.html",
		},
		{
			Name: "IBM Cloud VPC", IDs: []string{"ibm://"}, Causes: []Cause{SourceCheck, PortSecurity},
			Switch:      "allow IP spoofing on every node's virtual network interface (it needs a role of its own)",
			Commands:    []string{"ibmcloud is virtual-network-interface-update INTERFACE --allow-ip-spoofing true"},
			Consequence: "The interface may send with any source.",
			Source:      "https://cloud.ibm.com/docs/vpc?interface=ui&topic=vpc-vni-updating",
		},
	}
}

// virtualizers are platforms that filter at a machine's port.
func virtualizers() []Provider {
	return []Provider{
		{
			Name: "VMware vSphere", IDs: []string{"vsphere://"}, Causes: []Cause{PortSecurity},
			Switch:      "in NSX, bind a SpoofGuard profile without address bindings (address_binding_whitelist: false) to the nodes' segment, or add the frontends' addresses to the bindings",
			Consequence: "The segment's machines may send with any source.",
			Source:      "https://developer.broadcom.com/xapis/nsx-vmc-policy/latest/data-structures/SpoofGuardProfile, https://github.com/cilium/cilium/issues/21801",
		},
		{
			Name: "Proxmox VE", IDs: []string{"proxmox://"}, Causes: []Cause{PortSecurity},
			Switch:      "switch the firewall's IP filter off for the nodes' machines, or put the frontends' addresses into the IP set ipfilter-net0",
			Commands:    []string{"pvesh set /nodes/HOST/qemu/VMID/firewall/options --ipfilter 0"},
			Consequence: "The machine may send with any source.",
			Source:      "https://raw.githubusercontent.com/proxmox/pve-docs/master/pve-firewall.adoc",
		},
	}
}

// gateways are those that have nothing to switch, as far as is known.
func gateways() []Provider {
	return []Provider{
		{
			Name: "Hetzner Cloud", IDs: []string{"hcloud://"}, Labels: []string{"instance.hetzner.cloud/provided-by"}, Causes: []Cause{URPF, PortSecurity, SourceCheck},
			Consequence: "The gateway of a private network drops silently what comes from a source that is not registered for the server.",
			Source:      "https://docs.hetzner.com/networking/networks/faq/, https://github.com/cilium/cilium/pull/47527",
		},
		{
			Name: "DigitalOcean", IDs: []string{"digitalocean://"}, Labels: []string{"doks.digitalocean.com/node-pool"}, Causes: []Cause{SourceCheck, PortSecurity},
			Consequence: "DSR was reported not to work between Droplets.",
			Source:      "https://github.com/cilium/cilium/issues/27731",
		},
	}
}

// unverified are those that no public source was found for.
func unverified() []Provider {
	of := func(name, id string) Provider {
		return Provider{Name: name, IDs: []string{id}, Causes: []Cause{SourceCheck, PortSecurity, URPF}, Source: NotVerified}
	}
	return []Provider{
		of("Akamai Linode", "linode://"), of("Vultr", "vultr://"), of("Scaleway", "scaleway://"),
		of("Equinix Metal", "equinixmetal://"), of("Exoscale", "exoscale://"), of("Alibaba Cloud", "alicloud://"),
		of("kind", "kind://"),
	}
}

// remedy is what to do about a cause that the provider's switch is about, and the verdict: without a switch that is documented DSR won't work.
func (p *Provider) remedy(info CauseInfo) (string, Verdict) {
	switch {
	case p.Switch != "":
		return strings.TrimSpace(p.Name + ": " + p.Switch + ". " + p.Consequence), info.Verdict
	case p.Source == NotVerified:
		return info.Remedy, info.Verdict
	}
	return "No setting of " + p.Name + " is known that changes this. " + p.Consequence + " Put the nodes on a network that lets foreign sources pass, or keep SNAT.", Wont
}

// providerOf finds out who runs the network of the nodes; nil where that is not known, or nodes are of different providers.
func providerOf(nodes []Node) *Provider {
	var found *Provider
	for _, n := range nodes {
		one := n.provider()
		if one == nil || found != nil && one.Name != found.Name {
			return nil
		}
		found = one
	}
	return found
}

func (n *Node) provider() *Provider {
	for _, p := range Providers() {
		byID := slices.ContainsFunc(p.IDs, func(id string) bool { return strings.HasPrefix(n.ProviderID, id) })
		byLabel := slices.ContainsFunc(slices.Collect(maps.Keys(n.Labels)), func(label string) bool { return slices.Contains(p.Labels, label) })
		if byID || n.ProviderID == "" && byLabel {
			return &p
		}
	}
	return nil
}
