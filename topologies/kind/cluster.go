package kind

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/kind/pkg/cluster/nodeutils"

	"github.com/dsrlab/dsrlab/topologies/objects"
)

// readNodes learns where the control plane is.
func (c *Cluster) readNodes(ctx context.Context) error {
	list, err := c.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range list.Items {
		n := &list.Items[i]
		if _, ok := n.Labels["node-role.kubernetes.io/control-plane"]; ok {
			if c.ControlPlane, err = internalIP(n); err != nil {
				return fmt.Errorf("node %s: %w", n.Name, err)
			}
		}
	}
	return nil
}

// load brings an image to all nodes, by way of a file that goes again.
func (c *Cluster) load(file string, write func(io.Writer) error) error {
	archive, err := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(write(archive), archive.Close()); err != nil {
		return err
	}
	return errors.Join(c.loadFrom(file), os.Remove(file))
}

func (c *Cluster) loadFrom(archive string) error {
	for _, n := range c.nodes {
		file, err := os.Open(archive)
		if err != nil {
			return err
		}
		err = nodeutils.LoadImageArchive(n, file)
		file.Close()
		if err != nil {
			return fmt.Errorf("load image onto %s: %w", n, err)
		}
	}
	return nil
}

// WaitReady waits until all nodes are ready, and all pods of kube-system, CoreDNS among them.
func (c *Cluster) WaitReady(ctx context.Context) error {
	err := poll(ctx, func() (bool, error) {
		list, err := c.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		for i := range list.Items {
			if !objects.NodeIsReady(&list.Items[i]) {
				return false, fmt.Errorf("node %s is not ready", list.Items[i].Name)
			}
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("wait for nodes: %w", err)
	}
	return c.waitPods(ctx, metav1.NamespaceSystem)
}

// waitPods waits until every pod of a namespace is ready.
func (c *Cluster) waitPods(ctx context.Context, namespace string) error {
	err := poll(ctx, func() (bool, error) {
		list, err := c.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		for i := range list.Items {
			if p := &list.Items[i]; !objects.PodHas(p, corev1.PodReady) {
				return false, fmt.Errorf("pod %s is %s, and not ready: %s", p.Name, p.Status.Phase, objects.WhyNotReady(p))
			}
		}
		return len(list.Items) > 0, nil
	})
	if err != nil {
		return fmt.Errorf("wait for pods of %s: %w", namespace, err)
	}
	return nil
}

// WaitRollout waits until a daemon set runs, ready, on every node that it is for.
func (c *Cluster) WaitRollout(ctx context.Context, namespace, name string) error {
	err := poll(ctx, func() (bool, error) {
		d, err := c.Client.AppsV1().DaemonSets(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		return objects.IsRolledOut(d), fmt.Errorf("%d of %d are ready", d.Status.NumberReady, d.Status.DesiredNumberScheduled)
	})
	if err != nil {
		return fmt.Errorf("wait for daemon set %s: %w", name, err)
	}
	return nil
}
