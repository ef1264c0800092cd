package testbed

import (
	"context"
	"errors"
	"fmt"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/topologies"
)

// SetEndpoints gives every node other endpoints, as when pods come, go or begin to terminate. Running flows are not touched.
func (tb *Testbed) SetEndpoints(ctx context.Context, v Variant, slices []discoveryv1.EndpointSlice) error {
	tb.plan.EndpointSlices = slices
	tables, err := tb.Tables(v)
	if err != nil {
		return fmt.Errorf("set endpoints: %w", err)
	}
	if tb.onCluster() {
		if err := tb.setEndpointsOnCluster(ctx, v, tables); err != nil {
			return fmt.Errorf("set endpoints: %w", err)
		}
		if v.DataPath == DataPathDSRLab {
			return nil
		}
	}
	var errs []error
	for _, n := range tb.ClusterNodes() {
		errs = append(errs, tb.update(ctx, n, v, tables))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("set endpoints: %w", err)
	}
	return tb.tellAgents(tables)
}

// update gives a node whose data path stands other tables.
func (tb *Testbed) update(ctx context.Context, n topologies.Node, v Variant, tables *services.Tables) error {
	switch v.DataPath {
	case DataPathKubeProxy, DataPathDNATOnly:
		return tb.installBaseline(ctx, n, v, tables)
	case DataPathDSRLab:
		if tb.onCluster() {
			return nil // SetEndpoints has told the agents
		}
		return tb.network.Do(n.Name, func() error {
			d, err := tb.OpenDataPath(n.Name)
			if err != nil {
				return err
			}
			defer d.Close()
			return tb.apply(d, n, tables)
		})
	}
	return nil
}

// SetDraining lets a pod terminate, or be ready again: a terminating pod keeps its connections and gets no new ones.
func (tb *Testbed) SetDraining(ctx context.Context, v Variant, pod string, draining bool) error {
	ready, found := !draining, false
	changed := make([]discoveryv1.EndpointSlice, len(tb.plan.EndpointSlices))
	for i := range changed {
		tb.plan.EndpointSlices[i].DeepCopyInto(&changed[i])
		for j := range changed[i].Endpoints {
			if e := &changed[i].Endpoints[j]; e.TargetRef != nil && e.TargetRef.Name == pod {
				serving := true
				e.Conditions = discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &draining}
				found = true
			}
		}
	}
	if !found {
		return fmt.Errorf("drain %s: no service has a pod of this name", pod)
	}
	return tb.SetEndpoints(ctx, v, changed)
}
