package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/dsrlab/dsrlab/topologies/netns"
)

// agentKilled runs the node agent on an LB node, as on a cluster, kills it in the midst of its work, and starts it again.
func agentKilled(ctx context.Context, c *chaos, t *traffic) (int, error) {
	t.open(ctx, openers)
	lbs := c.LBNodes()
	node := lbs[c.random.IntN(len(lbs))].Name
	for range 2 {
		pid, err := c.startAgent(ctx, node)
		if err != nil {
			return 0, err
		}
		if err := t.settle(ctx); err != nil {
			return 0, err
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return 0, fmt.Errorf("kill agent: %w", err)
		}
		if err := t.settle(ctx); err != nil {
			return 0, err
		}
		if err := c.Network().Stop(ctx, "agent-"+node); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// startAgent starts the node agent, which reads its objects from a file, and waits until it answers.
func (s *target) startAgent(ctx context.Context, node string) (pid int, err error) {
	objects, err := s.objects()
	if err != nil {
		return 0, err
	}
	dir := s.Network().Dir()
	objectsFile, configFile := filepath.Join(dir, "objects.yaml"), filepath.Join(dir, "agent.yaml")
	config := []byte("apiVersion: dsrlab.dev/v1alpha1\nkind: AgentConfig\ndevice: eth0\n")
	if err := errors.Join(os.WriteFile(objectsFile, objects, 0o600), os.WriteFile(configFile, config, 0o600)); err != nil {
		return 0, err
	}
	pins, err := s.Network().BPFDir(node)
	if err != nil {
		return 0, err
	}
	var address string
	for _, n := range s.ClusterNodes() {
		if n.Name == node {
			address = net.JoinHostPort(n.Addresses[0].Addr().String(), "9964")
		}
	}
	pid, err = s.Network().Start(ctx, node, netns.Process{Name: "agent-" + node, Argv: []string{
		s.agent, "--node", node, "--config", configFile, "--objects", objectsFile, "--pins", pins, "--metrics", address,
	}})
	if err != nil {
		return 0, err
	}
	deadline := time.Now().Add(patience)
	for {
		err := s.Enter(node).Do(func() error {
			conn, err := net.DialTimeout("tcp", address, time.Second)
			if err == nil {
				conn.Close()
			}
			return err
		})
		if err == nil {
			return pid, nil
		}
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("the agent of %s did not begin within %s: %w", node, patience, err)
		}
		wait(ctx, exchangePause)
	}
}

// objects are the plan's services, endpoints and nodes as a cluster has them.
func (s *target) objects() ([]byte, error) {
	var documents [][]byte
	var errs []error
	add := func(kind, version string, object any) {
		document, err := yaml.Marshal(object)
		errs = append(errs, err)
		documents = append(documents, fmt.Appendf(document, "kind: %s\napiVersion: %s\n", kind, version))
	}
	for _, service := range s.Plan().Services {
		service.TypeMeta = metav1.TypeMeta{}
		add("Service", "v1", service)
	}
	for _, slice := range s.Plan().EndpointSlices {
		slice.TypeMeta = metav1.TypeMeta{}
		add("EndpointSlice", "discovery.k8s.io/v1", slice)
	}
	for _, n := range s.ClusterNodes() {
		node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: n.Labels}}
		for _, a := range n.Addrs() {
			node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a.String()})
		}
		for _, cidr := range n.PodCIDRs {
			node.Spec.PodCIDRs = append(node.Spec.PodCIDRs, cidr.String())
		}
		add("Node", "v1", node)
	}
	return bytes.Join(documents, []byte("---\n")), errors.Join(errs...)
}
