package onsite

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

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/stand"
	"github.com/dsrlab/dsrlab/labs/workload"
)

// What is asked of a way in before it counts as settled.
const (
	probes       = 8
	probeTimeout = 500 * time.Millisecond
)

// target is where a client of a variant calls: the VIP, or in its place the NodePort of the first LB node.
func (s *Site) target(t stand.Target, v *stand.Variant) (netip.AddrPort, error) {
	service := s.service(t.Service, v)
	i := slices.IndexFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == t.Port })
	if i < 0 {
		return netip.AddrPort{}, fmt.Errorf("service %s has no port %s", t.Service, t.Port)
	}
	port := &service.Spec.Ports[i]
	if vip, ok := s.vips[service.Name]; ok && t.Via == "" {
		return netip.AddrPortFrom(vip, uint16(port.Port)), nil
	}
	if port.NodePort == 0 {
		return netip.AddrPort{}, fmt.Errorf("service %s has no NodePort for %s", t.Service, t.Port)
	}
	address, err := s.machine(s.entryNode(t)).address(isIPv6(service))
	return netip.AddrPortFrom(address, uint16(port.NodePort)), err
}

// entryNode is the node that a target's NodePort is of.
func (s *Site) entryNode(t stand.Target) string {
	if t.Via != "" {
		return t.Via
	}
	return lbNodes(s.plan)[0]
}

func isIPv6(service *corev1.Service) bool {
	return len(service.Spec.IPFamilies) > 0 && service.Spec.IPFamilies[0] == corev1.IPv6Protocol
}

func (s *Site) entryAddresses() string {
	var all []string
	for _, node := range lbNodes(s.plan) {
		all = append(all, fmt.Sprint(s.machine(node).Addresses))
	}
	return strings.Join(all, ", ")
}

// findVIPs finds out whether the cluster gives VIPs out, and whether they lead there. Either all services are called by one, or none:
// else variants would differ by their way in.
func (s *Site) findVIPs(ctx context.Context, n *labs.Notes) error {
	called := s.calledByVIP()
	if len(called) == 0 {
		return nil
	}
	why, err := s.tryVIPs(ctx, called)
	if err != nil {
		return err
	}
	if why == "" {
		return n.Tell("way in", fmt.Sprintf("the VIPs that the cluster gave: %v", slices.SortedFunc(maps.Values(s.vips), netip.Addr.Compare)))
	}
	clear(s.vips)
	node := lbNodes(s.plan)[0]
	return n.Tell("way in", fmt.Sprintf("%s: the NodePort of %s (%s) is called in their place", why, node, s.machine(node).Name))
}

// calledByVIP are the services, as variants have them, that a step calls by their VIP.
func (s *Site) calledByVIP() map[string]*labs.ConnectStep {
	all := make(map[string]*labs.ConnectStep)
	for _, t := range turns(s.Part.Lab, s.plan) {
		for i := range t.Phase.Steps {
			if c := t.Phase.Steps[i].Connect; c != nil && c.To.Via == "" && t.Does(&t.Phase.Steps[i]) {
				name := s.service(c.To.Service, &t.Variant).Name
				if have := all[name]; have == nil || have.Protocol != workload.TCP {
					all[name] = c
				}
			}
		}
	}
	return all
}

// tryVIPs says why the services can't be called by VIPs; empty if they can.
func (s *Site) tryVIPs(ctx context.Context, called map[string]*labs.ConnectStep) (why string, err error) {
	given, cancel := context.WithTimeout(ctx, s.Timeouts.VIP)
	defer cancel()
	missing := poll(given, func(ctx context.Context) error {
		for name := range called {
			service, err := s.Client.CoreV1().Services(s.namespace).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			vip, ok := vipOf(service)
			if !ok {
				return errors.New("no VIP")
			}
			s.vips[name] = vip
		}
		return nil
	})
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if missing != nil {
		return fmt.Sprintf("the cluster gave no VIPs within %s", s.Timeouts.VIP), nil
	}
	settled, cancel := context.WithTimeout(ctx, s.Timeouts.Settle)
	defer cancel()
	for name, step := range called {
		err := poll(settled, func(ctx context.Context) error {
			i := slices.IndexFunc(s.services[name].Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == step.To.Port })
			at := netip.AddrPortFrom(s.vips[name], uint16(s.services[name].Spec.Ports[i].Port))
			report, err := s.probe(ctx, step.Protocol, at, 1)
			if err == nil && report.Outcomes[workload.OutcomeOK] == 0 {
				err = errors.New("no answer")
			}
			return err
		})
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil {
			return fmt.Sprintf("VIP %v of the cluster does not answer within %s", s.vips[name], s.Timeouts.Settle), nil
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

func (s *Site) probe(ctx context.Context, protocol workload.Protocol, at netip.AddrPort, count int) (*workload.ConnectReport, error) {
	return workload.Connect(ctx, workload.ConnectOptions{
		Dialer: s.dialer, Protocol: protocol, Target: at, Count: count, Timeout: probeTimeout, Detail: protocol == workload.TCP,
	})
}
