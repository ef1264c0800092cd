package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dsrlab/dsrlab/internal/words"
	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/steps"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/workload"
)

// What is asked of a way in before it counts as settled.
const (
	probes       = 8
	probeTimeout = 500 * time.Millisecond
)

// target is where a client of a variant calls: the VIP, or in its place the NodePort of the first LB node.
func (c *Cluster) target(t testbed.Target, v *testbed.Variant) (netip.AddrPort, error) {
	service := c.service(t.Service, v)
	i := slices.IndexFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == t.Port })
	if i < 0 {
		return netip.AddrPort{}, fmt.Errorf("service %s has no port %s", t.Service, t.Port)
	}
	port := &service.Spec.Ports[i]
	if vip, ok := c.vips[service.Name]; ok && t.Via == "" {
		return netip.AddrPortFrom(vip, uint16(port.Port)), nil
	}
	if port.NodePort == 0 {
		return netip.AddrPort{}, fmt.Errorf("service %s has no NodePort for %s", t.Service, t.Port)
	}
	address, err := c.node(c.entryNode(t)).address(isIPv6(service))
	return netip.AddrPortFrom(address, uint16(port.NodePort)), err
}

// entryNode is the node that a target's NodePort is of.
func (c *Cluster) entryNode(t testbed.Target) string {
	if t.Via != "" {
		return t.Via
	}
	return c.plan.LBNodes()[0].Name
}

func isIPv6(service *corev1.Service) bool {
	return len(service.Spec.IPFamilies) > 0 && service.Spec.IPFamilies[0] == corev1.IPv6Protocol
}

func (c *Cluster) entryAddresses() string {
	var all []string
	for _, n := range c.plan.LBNodes() {
		all = append(all, words.List(c.node(n.Name).Addresses))
	}
	return strings.Join(all, ", ")
}

// findVIPs finds out whether the cluster gives VIPs out, and whether they lead there. Either all services are called by one, or none:
// else variants would differ by their way in.
func (c *Cluster) findVIPs(ctx context.Context, r *labs.Report) error {
	called := c.calledByVIP()
	if len(called) == 0 {
		return nil
	}
	why, err := c.tryVIPs(ctx, called)
	if err != nil {
		return err
	}
	if why == "" {
		return r.Tell("way in", fmt.Sprintf("the VIPs that the cluster gave: %s", words.List(slices.SortedFunc(maps.Values(c.vips), netip.Addr.Compare))))
	}
	clear(c.vips)
	node := c.plan.LBNodes()[0].Name
	return r.Tell("way in", fmt.Sprintf("%s: the NodePort of %s (%s) is called in their place", why, node, c.node(node).Name))
}

// calledByVIP are the services, as variants have them, that a step calls by their VIP.
func (c *Cluster) calledByVIP() map[string]*steps.ConnectStep {
	all := make(map[string]*steps.ConnectStep)
	for _, t := range trials(c.Subset.Lab, c.plan) {
		for i := range t.Phase.Steps {
			if connect := t.Phase.Steps[i].Connect; connect != nil && connect.To.Via == "" && t.Does(&t.Phase.Steps[i]) {
				name := c.service(connect.To.Service, &t.Variant).Name
				if have := all[name]; have == nil || have.Protocol != workload.TCP {
					all[name] = connect
				}
			}
		}
	}
	return all
}

// tryVIPs says why the services can't be called by VIPs; empty if they can.
func (c *Cluster) tryVIPs(ctx context.Context, called map[string]*steps.ConnectStep) (why string, err error) {
	given, cancel := context.WithTimeout(ctx, c.Timeouts.VIP)
	defer cancel()
	missing := poll(given, func(ctx context.Context) error {
		for name := range called {
			service, err := c.Client.CoreV1().Services(c.namespace).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			vip, ok := vipOf(service)
			if !ok {
				return errors.New("no VIP")
			}
			c.vips[name] = vip
		}
		return nil
	})
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if missing != nil {
		return fmt.Sprintf("the cluster gave no VIPs within %s", c.Timeouts.VIP), nil
	}
	settled, cancel := context.WithTimeout(ctx, c.Timeouts.Settle)
	defer cancel()
	for name, step := range called {
		err := poll(settled, func(ctx context.Context) error {
			i := slices.IndexFunc(c.services[name].Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == step.To.Port })
			at := netip.AddrPortFrom(c.vips[name], uint16(c.services[name].Spec.Ports[i].Port))
			report, err := c.probe(ctx, step.Protocol, at, 1)
			if err == nil && report.Outcomes[workload.OutcomeOK] == 0 {
				err = errors.New("no answer")
			}
			return err
		})
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil {
			return fmt.Sprintf("VIP %v of the cluster does not answer within %s", c.vips[name], c.Timeouts.Settle), nil
		}
	}
	return "", nil
}

// vipOf is the first address in a service's status; a VIP that is a name is none.
func vipOf(service *corev1.Service) (netip.Addr, bool) {
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		if addr, err := netip.ParseAddr(ingress.IP); err == nil {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

func (c *Cluster) probe(ctx context.Context, protocol workload.Protocol, at netip.AddrPort, count int) (*workload.ConnectReport, error) {
	return workload.Connect(ctx, workload.ConnectOptions{
		Dialer: c.dialer, Protocol: protocol, Target: at, Count: count, Timeout: probeTimeout, Detail: protocol == workload.TCP,
	})
}
