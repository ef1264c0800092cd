package testbed

import (
	"context"
	"errors"
	"fmt"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// onNetns is the platform whose nodes and pods are network namespaces: this process loads our data path onto each node itself.
type onNetns struct{ *Testbed }

func (p *onNetns) check(Variant) error { return nil }

func (p *onNetns) agentArgs() []string { return nil }

func (p *onNetns) checkFailure() error { return nil }

func (p *onNetns) startPods(ctx context.Context, labPod string, onStep func(string)) error {
	for _, pod := range p.plan.Pods {
		if len(pod.Workload) == 0 {
			continue
		}
		if onStep != nil {
			onStep("start workload of " + pod.Name)
		}
		if _, err := p.network.Start(ctx, pod.Name, netns.Process{Name: "pod-" + pod.Name, Argv: pod.Serve(labPod)}); err != nil {
			return fmt.Errorf("start workload of %s: %w", pod.Name, err)
		}
	}
	return nil
}

func (p *onNetns) install(ctx context.Context, v Variant, tables *services.Tables) error {
	err := p.onClusterNodes(ctx, func(n topologies.Node) error { return p.load(n, v, tables) })
	if err != nil {
		return err
	}
	return p.tellAgents(tables)
}

func (p *onNetns) uninstall(ctx context.Context) error {
	return p.onClusterNodes(ctx, func(n topologies.Node) error { return p.unload(n.Name) })
}

func (p *onNetns) unload(node string) error {
	dir, err := p.network.BPFDir(node)
	if err != nil {
		return err
	}
	return p.network.Do(node, func() error { return dataplane.Unload(dir) })
}

func (p *onNetns) setEndpoints(_ context.Context, v Variant, tables *services.Tables) error {
	if v.DataPath != DataPathDSRLab {
		return nil
	}
	var errs []error
	for _, n := range p.ClusterNodes() {
		errs = append(errs, p.network.Do(n.Name, func() error {
			d, err := p.OpenDataPath(n.Name)
			if err != nil {
				return err
			}
			defer d.Close()
			return p.apply(d, n, tables)
		}))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return p.tellAgents(tables)
}

func (p *onNetns) setServices(ctx context.Context, v Variant, tables *services.Tables) error {
	return p.setEndpoints(ctx, v, tables)
}

func (p *onNetns) reinstall(ctx context.Context, n topologies.Node, v Variant, tables *services.Tables) error {
	if err := errors.Join(p.unload(n.Name), p.removeBaseline(ctx, n.Name)); err != nil || v.DataPath == DataPathNone {
		return err
	}
	if v.DataPath == DataPathDSRLab {
		return p.load(n, v, tables)
	}
	return p.installBaseline(ctx, n, v, tables)
}
