package console

import (
	"fmt"
	"io"
	"strings"

	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/topologies"
)

// ShowTopology prints what is built from a topology, as `dsrlab topology show` does.
func ShowTopology(w io.Writer, description string, plan *topologies.Plan) {
	columns := terminal.ColumnsOr(w, terminal.TableColumns)
	name := plan.Name
	if description != "" {
		name += ": " + description
	}
	fmt.Fprintln(w, terminal.Wrap(name, columns))
	fmt.Fprintf(w, "%s\n\n", terminal.Wrap(fmt.Sprintf("substrate %s, congestion control %s, MTU %d, hash %.12s",
		plan.Substrate, plan.CongestionControl, plan.MTU, plan.Hash), columns))
	t := terminal.NewTable(w, "NODE", "ROLE", "ADDRESS", "GATEWAY", "POD CIDR", "LINK").Optional("GATEWAY")
	for _, n := range plan.Nodes {
		cidr := ""
		if len(n.PodCIDRs) > 0 {
			cidr = n.PodCIDRs[0].String()
		}
		address, gateway := "", "" // of nodes of a cluster that the substrate gave none
		if len(n.Addresses) > 0 {
			address = n.Addresses[0].String()
		}
		if len(n.Gateways) > 0 {
			gateway = n.Gateways[0].String()
		}
		t.Row(n.Name, n.Role, address, gateway, cidr, linkInWords(n))
	}
	t.Render()
	if len(plan.Pods) > 0 {
		fmt.Fprintln(w)
		t = terminal.NewTable(w, "POD", "NODE", "ADDRESS", "WORKLOAD")
		for _, p := range plan.Pods {
			var workload []string
			for _, w := range p.Workload {
				workload = append(workload, fmt.Sprintf("%s :%d", w.Kind, w.Port))
			}
			t.Row(p.Name, p.Node, p.Addresses[0], strings.Join(workload, ", "))
		}
		t.Render()
	}
	showServices(w, plan)
}

func showServices(w io.Writer, plan *topologies.Plan) {
	if len(plan.Services) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := terminal.NewTable(w, "SERVICE", "TYPE", "VIP", "CLUSTER IP", "PORT", "NODE PORT", "TARGET").Optional("CLUSTER IP", "TARGET")
	for _, service := range plan.Services {
		var vips []string
		for _, vip := range plan.VIPs(service.Name) {
			vips = append(vips, vip.String())
		}
		for _, p := range service.Spec.Ports {
			nodePort := ""
			if p.NodePort != 0 {
				nodePort = fmt.Sprint(p.NodePort)
			}
			t.Row(
				service.Name, service.Spec.Type, strings.Join(vips, ", "), service.Spec.ClusterIP, fmt.Sprintf("%d/%s", p.Port, p.Protocol),
				nodePort, p.TargetPort.String(),
			)
		}
	}
	t.Render()
}

// linkInWords is how a node's link is shaped, each direction by itself where they differ.
func linkInWords(n topologies.Node) string {
	toNode, fromNode := shapeInWords(n.ToNode), shapeInWords(n.FromNode)
	if toNode == fromNode {
		return toNode
	}
	return "to it: " + toNode + "\nfrom it: " + fromNode
}

func shapeInWords(shape topologies.Shape) string {
	if shape.Rate == 0 {
		return "not shaped"
	}
	if shape.Limit == topologies.LimitPolice {
		return fmt.Sprintf("%s policed, burst %s", shape.Rate, shape.Burst)
	}
	return fmt.Sprintf("%s, queue %s, burst %s", shape.Rate, shape.Queue, shape.Burst)
}
