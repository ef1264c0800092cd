package cluster

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

	"github.com/dsrlab/dsrlab/internal/words"
	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies/objects"
)

// waitPods waits until all pods are ready, and learns their addresses. An image that can't be had is a labs.LackingError.
func (c *Cluster) waitPods(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeouts.Pods, fmt.Errorf("pods are not ready within %s", c.Timeouts.Pods))
	defer cancel()
	return poll(ctx, func(ctx context.Context) error {
		list, err := c.Client.CoreV1().Pods(c.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for i := range list.Items {
			p := &list.Items[i]
			if why := objects.WhyNotReady(p); strings.Contains(why, "ImagePull") || strings.Contains(why, "ErrImageNever") {
				return &finalError{&labs.UnsupportedError{
					What: fmt.Sprintf("node %s can't get the workload image %s (%s)", p.Spec.NodeName, c.Image, why),
					How:  "make image writes it: load it onto the nodes, or push it to a registry that they reach and name it by --workload-image",
				}}
			}
			if !objects.PodHas(p, corev1.PodReady) {
				return fmt.Errorf("pod %s is %s, and not ready: %s", p.Name, p.Status.Phase, objects.WhyNotReady(p))
			}
			if c.pods[p.Name], err = netip.ParseAddr(p.Status.PodIP); err != nil {
				return fmt.Errorf("pod %s: address: %w", p.Name, err)
			}
		}
		if len(list.Items) < len(c.plan.Pods) {
			return fmt.Errorf("%d of %d pods are there", len(list.Items), len(c.plan.Pods))
		}
		return nil
	})
}

// readyPods are the names of a service's ready pods in a variant.
func (c *Cluster) readyPods(service *corev1.Service, v *testbed.Variant) []string {
	selector := labels.SelectorFromSet(service.Spec.Selector)
	var all []string
	for _, p := range c.plan.Pods {
		if selector.Matches(labels.Set(p.Labels)) && (len(v.Pods) == 0 || slices.Contains(v.Pods, p.Name)) {
			all = append(all, p.Name)
		}
	}
	return all
}

// addressesOf are the addresses of pods.
func (c *Cluster) addressesOf(pods []string) []netip.Addr {
	var all []netip.Addr
	for _, p := range pods {
		all = append(all, c.pods[p])
	}
	return all
}

// setReady lets exactly a variant's pods be ready, and waits until the EndpointSlices of its services say so.
func (c *Cluster) setReady(ctx context.Context, v *testbed.Variant) error {
	for _, p := range c.plan.Pods {
		ready := len(v.Pods) == 0 || slices.Contains(v.Pods, p.Name)
		if err := objects.SetReady(ctx, c.Client, c.namespace, p.Name, ready); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeouts.Endpoints, fmt.Errorf("EndpointSlices do not follow within %s", c.Timeouts.Endpoints))
	defer cancel()
	for _, name := range c.called(v.Name) {
		service := c.service(name, v)
		want := c.addressesOf(c.readyPods(service, v))
		err := poll(ctx, func(ctx context.Context) error {
			list, err := c.Client.DiscoveryV1().EndpointSlices(c.namespace).List(ctx, metav1.ListOptions{
				LabelSelector: labels.Set{discoveryv1.LabelServiceName: service.Name}.String(),
			})
			if err != nil {
				return err
			}
			if have := readyEndpoints(list.Items); !sameAddresses(have, want) {
				return fmt.Errorf("service %s has the ready endpoints %s, and should have %s", service.Name, words.List(have), words.List(want))
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
func (c *Cluster) service(name string, v *testbed.Variant) *corev1.Service {
	i := slices.IndexFunc(c.Subset.Lab.Spec.Variants, func(o testbed.Variant) bool { return o.Name == v.Name })
	return c.services[serviceName(name, i)]
}
