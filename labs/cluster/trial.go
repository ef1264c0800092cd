package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/steps"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/labs/workload"
)

// Run lets the variant's pods be ready, waits until the cluster's service proxy does as that says, and does the steps.
func (c *Cluster) Run(ctx context.Context, t *labs.Trial, r *labs.Report) error {
	if err := c.setReady(ctx, &t.Variant); err != nil {
		return err
	}
	if err := c.waitConverged(ctx, t, r); err != nil {
		return err
	}
	for i := range t.Phase.Steps {
		step := &t.Phase.Steps[i]
		if !t.Does(step) {
			continue
		}
		var err error
		if step.Health != nil {
			err = c.askHealth(ctx, t, step, r)
		} else {
			err = c.connect(ctx, t, step, r)
		}
		if err != nil {
			return fmt.Errorf("step %d: %s: %w", i+1, step.Kind(), err)
		}
	}
	return nil
}

// waitConverged waits, for each way in of the trial, until it does what any service proxy does in the end: lead to ready pods, and under Local
// on a node without any to none. One that does not in time is told, and measured as it is.
func (c *Cluster) waitConverged(ctx context.Context, t *labs.Trial, r *labs.Report) error {
	var done []steps.ConnectStep
	for i := range t.Phase.Steps {
		connect := t.Phase.Steps[i].Connect
		if connect == nil || !t.Does(&t.Phase.Steps[i]) || slices.ContainsFunc(done, func(o steps.ConnectStep) bool { return o.To == connect.To && o.Protocol == connect.Protocol }) {
			continue
		}
		done = append(done, *connect)
		at, err := c.target(connect.To, &t.Variant)
		if err != nil {
			return err
		}
		limited, cancel := context.WithTimeoutCause(ctx, c.Timeouts.Settle, errors.New("it has not settled"))
		err = poll(limited, func(ctx context.Context) error { return c.checkConverged(ctx, t, connect, at) })
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if err := r.Tell(t.Variant.Name, fmt.Sprintf("%v/%s is measured as it is, after %s: %v", at, connect.Protocol, c.Timeouts.Settle, err)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkConverged says how a way in differs from what its service's endpoints make of it.
func (c *Cluster) checkConverged(ctx context.Context, t *labs.Trial, connect *steps.ConnectStep, at netip.AddrPort) error {
	service := c.service(connect.To.Service, &t.Variant)
	pods := c.behind(service, connect.To, &t.Variant)
	if len(pods) == 0 {
		return c.trySilent(ctx, connect, at, service)
	}
	report, err := c.probe(ctx, connect.Protocol, at, probes)
	if err != nil {
		return err
	}
	answered, needed := report.Outcomes[workload.OutcomeOK], probes
	if at.Port() != c.nodePort(service, connect.To.Port) {
		needed = 1 // what is in front of a VIP may lose some, by a node without pods
	}
	if answered < needed {
		return fmt.Errorf("%d of %d connections were answered", answered, probes)
	}
	if connect.Protocol != workload.TCP {
		return nil // which does not tell who answered
	}
	addresses := c.addressesOf(pods)
	for _, one := range report.Connections {
		if one.Outcome == workload.OutcomeOK && !slices.Contains(addresses, one.Server.Addr()) {
			return fmt.Errorf("%v answered, which is no ready pod of its", one.Server.Addr())
		}
	}
	return nil
}

// trySilent says what is there on a node's port behind which there should be no pod. Its health check tells that the node's service
// proxy knows the service.
func (c *Cluster) trySilent(ctx context.Context, connect *steps.ConnectStep, at netip.AddrPort, service *corev1.Service) error {
	if service.Spec.HealthCheckNodePort != 0 {
		if _, _, err := steps.AskHealth(ctx, c.dialer, netip.AddrPortFrom(at.Addr(), uint16(service.Spec.HealthCheckNodePort))); err != nil {
			return err
		}
	}
	report, err := c.probe(ctx, connect.Protocol, at, 1)
	if err == nil && report.Outcomes[workload.OutcomeOK] > 0 {
		err = errors.New("it still leads to a pod")
	}
	return err
}

// behind are the pods that answer at a target: of a service with externalTrafficPolicy Local those of the node alone.
func (c *Cluster) behind(service *corev1.Service, to testbed.Target, v *testbed.Variant) []string {
	pods := c.readyPods(service, v)
	if _, vip := c.vips[service.Name]; service.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal || vip && to.Via == "" {
		return pods
	}
	node := c.entryNode(to)
	return slices.DeleteFunc(pods, func(pod string) bool {
		return !slices.ContainsFunc(c.plan.Pods, podOn(pod, node))
	})
}

func (c *Cluster) nodePort(service *corev1.Service, port string) uint16 {
	for _, p := range service.Spec.Ports {
		if p.Name == port {
			return uint16(p.NodePort)
		}
	}
	return 0
}

func (c *Cluster) connect(ctx context.Context, t *labs.Trial, step *steps.Step, r *labs.Report) error {
	connect := step.Connect
	at, err := c.target(connect.To, &t.Variant)
	if err != nil {
		return err
	}
	report, err := workload.Connect(ctx, connect.Options(c.dialer, at))
	if err != nil {
		return err
	}
	service := c.service(connect.To.Service, &t.Variant)
	pods := c.addressesOf(c.readyPods(service, &t.Variant))
	who := c.whoIn(report)
	var seen []string
	if connect.Spread {
		seen = append(seen, steps.DescribeSpread(report, pods))
	}
	seen = append(seen, steps.DescribeSeen(report, who))
	c.observe(t, connect, service, report, who)
	c.answered = c.answered || report.Outcomes[workload.OutcomeOK] > 0
	return r.Record(step, connect.Values(report, c.isLBNode, pods), seen...)
}

// askHealth asks every node's health check. A node that does not answer is a value that could not be measured.
func (c *Cluster) askHealth(ctx context.Context, t *labs.Trial, step *steps.Step, r *labs.Report) error {
	service := c.service(step.Health.Service, &t.Variant)
	if service.Spec.HealthCheckNodePort == 0 {
		return fmt.Errorf("service %s has no healthCheckNodePort: its externalTrafficPolicy is %s", step.Health.Service, service.Spec.ExternalTrafficPolicy)
	}
	for _, node := range c.plan.ClusterNodes() {
		address, err := c.node(node.Name).address(isIPv6(service))
		if err != nil {
			return err
		}
		status, body, err := steps.AskHealth(ctx, c.dialer, netip.AddrPortFrom(address, uint16(service.Spec.HealthCheckNodePort)))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			c.observeHealth(t, service, node.Name, "no answer")
			if err := r.Miss(step, step.Health.Value(node.Name, 0), fmt.Errorf("health check of %s: %w", node.Name, err)); err != nil {
				return err
			}
			continue
		}
		c.answered = true
		c.observeHealth(t, service, node.Name, fmt.Sprint(status))
		message := fmt.Sprintf("health check of %s: %d %s", node.Name, status, body)
		if err := r.Record(step, []trial.Value{step.Health.Value(node.Name, status)}, message); err != nil {
			return err
		}
	}
	return nil
}
