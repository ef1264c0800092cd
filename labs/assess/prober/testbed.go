package prober

import (
	"context"
	"fmt"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/workload/probe"
	"github.com/dsrlab/dsrlab/topologies"
)

// OnTestbed returns a running testbed as a site: its LB and pod nodes, a client, and the VIPs and NodePorts of its services. Without a
// client's name it is the first one.
func OnTestbed(tb *testbed.Testbed, client string) (Site, error) {
	plan := tb.Plan()
	site := Site{Of: plan.Name}
	for _, n := range plan.NodesOf(topologies.RoleClient) {
		if site.Client.Name == "" && (client == "" || n.Name == client) {
			site.Client = machineOf(tb, n)
		}
	}
	if site.Client.Name == "" {
		return Site{}, fmt.Errorf("testbed %s: found no client %q", plan.Name, client)
	}
	for _, n := range tb.ClusterNodes() {
		site.Nodes = append(site.Nodes, machineOf(tb, n))
	}
	for _, s := range plan.Services {
		site.VIPs = append(site.VIPs, plan.VIPs(s.Name)...)
		site.Services = append(site.Services, assess.Service{Service: s, Endpoints: endpointsOf(plan, s.Name)})
	}
	tables, err := tb.Tables(testbed.Variant{DataPath: testbed.DataPathDSRLab, Mode: services.ModeDSR}) // the frontends are those of every variant
	if err != nil {
		return Site{}, err
	}
	for i := range tables.Frontends {
		f := &tables.Frontends[i]
		if f.Protocol != services.TCP {
			continue
		}
		switch f.Kind {
		case services.KindLoadBalancer:
			site.Frontends = append(site.Frontends, assess.Frontend{Service: f.Service, Kind: assess.VIP, Address: f.AddrPort()})
		case services.KindNodePort:
			site.Frontends = append(site.Frontends, assess.Frontend{Service: f.Service, Kind: assess.NodeAddress, Address: f.AddrPort(), Node: f.Node})
		}
	}
	return site, nil
}

// endpointsOf are the numbers of a service's ready pods, by node.
func endpointsOf(plan *topologies.Plan, service string) map[string]int {
	pods := make(map[string]string) // the node of each
	for _, slice := range plan.EndpointSlices {
		if slice.Labels[discoveryv1.LabelServiceName] != service {
			continue
		}
		for _, e := range slice.Endpoints {
			if e.TargetRef != nil && e.NodeName != nil && (e.Conditions.Ready == nil || *e.Conditions.Ready) {
				pods[e.TargetRef.Name] = *e.NodeName // in slices of both IP versions
			}
		}
	}
	all := make(map[string]int)
	for _, node := range pods {
		all[node]++
	}
	return all
}

func machineOf(tb *testbed.Testbed, n topologies.Node) Machine {
	return Machine{
		Name: n.Name, Addresses: slices.Clone(n.Addresses), LinkRate: float64(n.FromNode.Rate),
		Open: func(_ context.Context, onSighting func(probe.Sighting)) (Station, error) {
			station, err := probe.Open(tb.Enter(n.Name), onSighting)
			if err != nil { // else the interface would not be nil
				return nil, lacking(err)
			}
			return station, nil
		},
	}
}
