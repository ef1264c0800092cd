package onsite

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/stand"
	"github.com/dsrlab/dsrlab/topologies/objects"
)

// waitPods waits until all pods are ready, and learns their addresses. An image that can't be had is a labs.LackingError.
func (s *Site) waitPods(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.Timeouts.Pods, fmt.Errorf("pods are not ready within %s", s.Timeouts.Pods))
	defer cancel()
	return poll(ctx, func(ctx context.Context) error {
		list, err := s.Client.CoreV1().Pods(s.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for i := range list.Items {
			p := &list.Items[i]
			if why := objects.WhyNotReady(p); strings.Contains(why, "ImagePull") || strings.Contains(why, "ErrImageNever") {
				return &finalError{&labs.LackingError{
					What: fmt.Sprintf("node %s can't get the workload image %s (%s)", p.Spec.NodeName, s.Image, why),
					How:  "make image writes it: load it onto the nodes, or push it to a registry that they reach and name it by --workload-image",
				}}
			}
			if !objects.PodHas(p, corev1.PodReady) {
				return fmt.Errorf("pod %s is %s, and not ready: %s", p.Name, p.Status.Phase, objects.WhyNotReady(p))
			}
			if s.pods[p.Name], err = netip.ParseAddr(p.Status.PodIP); err != nil {
				return fmt.Errorf("pod %s: address: %w", p.Name, err)
			}
		}
		if len(list.Items) < len(s.plan.Pods) {
			return fmt.Errorf("%d of %d pods are there", len(list.Items), len(s.plan.Pods))
		}
		return nil
	})
}

// readyPods are the names of a service's ready pods in a variant.
func (s *Site) readyPods(service *corev1.Service, v *stand.Variant) []string {
	selector := labels.SelectorFromSet(service.Spec.Selector)
	var all []string
	for _, p := range s.plan.Pods {
		if selector.Matches(labels.Set(p.Labels)) && (len(v.Pods) == 0 || slices.Contains(v.Pods, p.Name)) {
			all = append(all, p.Name)
		}
	}
	return all
}

// addressesOf are the addresses of pods.
func (s *Site) addressesOf(pods []string) []netip.Addr {
	var all []netip.Addr
	for _, p := range pods {
		all = append(all, s.pods[p])
	}
	return all
}

// setReady lets exactly a variant's pods be ready, and waits until the EndpointSlices of its services say so.
func (s *Site) setReady(ctx context.Context, v *stand.Variant) error {
	for _, p := range s.plan.Pods {
		ready := len(v.Pods) == 0 || slices.Contains(v.Pods, p.Name)
		if err := objects.SetReady(ctx, s.Client, s.namespace, p.Name, ready); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.Timeouts.Endpoints, fmt.Errorf("EndpointSlices do not follow within %s", s.Timeouts.Endpoints))
	defer cancel()
	for _, name := range s.called(v.Name) {
		service := s.service(name, v)
		want := s.addressesOf(s.readyPods(service, v))
		err := poll(ctx, func(ctx context.Context) error {
			list, err := s.Client.DiscoveryV1().EndpointSlices(s.namespace).List(ctx, metav1.ListOptions{
				LabelSelector: labels.Set{discoveryv1.LabelServiceName: service.Name}.String(),
			})
			if err != nil {
				return err
			}
			if have := readyEndpoints(list.Items); !sameAddresses(have, want) {
				return fmt.Errorf("service %s has the ready endpoints %v, and should have %v", service.Name, have, want)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readyEndpoints are the addresses of all ready endpoints.
func readyEndpoints(slices []discoveryv1.EndpointSlice) []netip.Addr {
	var all []netip.Addr
	for i := range slices {
		for _, e := range slices[i].Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready {
				continue
			}
			for _, a := range e.Addresses {
				if addr, err := netip.ParseAddr(a); err == nil {
					all = append(all, addr)
				}
			}
		}
	}
	return all
}

// sameAddresses compares without regard to order and repetition: a service has a slice for each of its sets of ports.
func sameAddresses(a, b []netip.Addr) bool {
	set := func(all []netip.Addr) []netip.Addr {
		return slices.Compact(slices.SortedFunc(slices.Values(all), netip.Addr.Compare))
	}
	return slices.Equal(set(a), set(b))
}

// service is a service of the topology as a variant has it.
func (s *Site) service(name string, v *stand.Variant) *corev1.Service {
	i := slices.IndexFunc(s.Part.Lab.Spec.Variants, func(o stand.Variant) bool { return o.Name == v.Name })
	return s.services[serviceName(name, i)]
}
