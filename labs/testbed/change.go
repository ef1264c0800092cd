package testbed

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// SetEndpoints replaces the endpoints on every node, as when pods come, go or begin to terminate. Running flows are not affected.
func (tb *Testbed) SetEndpoints(ctx context.Context, v Variant, slices []discoveryv1.EndpointSlice) error {
	tb.plan.EndpointSlices = slices
	tables, err := tb.Tables(v)
	if err != nil {
		return fmt.Errorf("set endpoints: %w", err)
	}
	if err := tb.platform().setEndpoints(ctx, v, tables); err != nil {
		return fmt.Errorf("set endpoints: %w", err)
	}
	if v.DataPath != DataPathKubeProxy && v.DataPath != DataPathDNATOnly {
		return nil
	}
	if err := tb.setBaseline(ctx, v, tables); err != nil {
		return fmt.Errorf("set endpoints: %w", err)
	}
	return nil
}

// SetModes gives services forwarding modes of their own, by annotation, on every node. A flow has the mode of its service: one that
// is under way when that changes is cut off, as its pod hears of another client.
func (tb *Testbed) SetModes(ctx context.Context, v Variant, modes map[string]services.Mode) error {
	before := tb.plan.Services
	tb.NoteModes(modes)
	tables, err := tb.Tables(v)
	if err == nil {
		err = tb.platform().setServices(ctx, v, tables)
	}
	if err != nil {
		tb.plan.Services = before
		return fmt.Errorf("set modes: %w", err)
	}
	return nil
}

// NoteModes has what is installed from now on have these modes, which running nodes have already.
func (tb *Testbed) NoteModes(modes map[string]services.Mode) {
	changed := make([]corev1.Service, len(tb.plan.Services))
	for i := range changed {
		tb.plan.Services[i].DeepCopyInto(&changed[i])
		mode, ok := modes[changed[i].Name]
		if !ok {
			continue
		}
		if changed[i].Annotations == nil {
			changed[i].Annotations = make(map[string]string)
		}
		changed[i].Annotations[services.ModeAnnotation] = string(mode)
	}
	tb.plan.Services = changed
}

// SetDraining marks a pod as terminating, or as ready again. A terminating pod keeps its connections and gets no new ones.
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
