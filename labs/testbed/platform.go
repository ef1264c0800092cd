package testbed

import (
	"context"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/topologies"
)

// platform is what differs between the substrates that a testbed is built on: who runs the pods, and who runs our own data path. All other
// data paths, and the edge, are the same on each.
type platform interface {
	// check reports what of a variant the platform can't do.
	check(v Variant) error
	// startPods starts the servers of all pods. They need not accept connections yet.
	startPods(ctx context.Context, labPod string, onStep func(string)) error
	// agentArgs are further arguments of the node agents that a testbed starts for health checks.
	agentArgs() []string
	// install puts our own data path on all nodes, as a variant has it, and uninstall removes it together with all its flows.
	install(ctx context.Context, v Variant, tables *services.Tables) error
	uninstall(ctx context.Context) error
	// setEndpoints makes the pods ready that the plan's endpoints have, and gives our own data path, if the variant has it, the new tables.
	setEndpoints(ctx context.Context, v Variant, tables *services.Tables) error
	// setServices gives our own data path, which the nodes have, the plan's services as they are now.
	setServices(ctx context.Context, v Variant, tables *services.Tables) error
	// checkFailure reports why no node can fail here; nil if one can.
	checkFailure() error
	// reinstall puts a new and empty data path on one node, as after a reboot.
	reinstall(ctx context.Context, n topologies.Node, v Variant, tables *services.Tables) error
}

// platformOf returns the platform of the plan's substrate.
func platformOf(tb *Testbed) platform {
	if tb.plan.Substrate == topologies.SubstrateKindK {
		return &onKind{tb}
	}
	return &onNetns{tb}
}

// Check reports what of a variant a plan's substrate can't do, before anything is built.
func Check(plan *topologies.Plan, v Variant) error {
	return platformOf(&Testbed{plan: plan}).check(v)
}

// CheckFailure reports why no LB node of a plan can fail, before anything is built; nil if one can.
func CheckFailure(plan *topologies.Plan) error {
	return platformOf(&Testbed{plan: plan}).checkFailure()
}
