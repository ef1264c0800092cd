package kind

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/objects"
)

// podOf is a pod of the topology as an object, its node chosen by label, its image loaded before.
func podOf(p *topologies.Pod, image string) *corev1.Pod {
	made := objects.Pod(p, metav1.NamespaceDefault, image)
	made.Spec.NodeSelector = map[string]string{nodeLabel: p.Node}
	made.Spec.Containers[0].ImagePullPolicy = corev1.PullNever
	return made
}

// makeWorkload makes pods and services, and waits until all pods are ready.
func (b *build) makeWorkload(ctx context.Context) error {
	pods, services := b.Client.CoreV1().Pods(metav1.NamespaceDefault), b.Client.CoreV1().Services(metav1.NamespaceDefault)
	for i := range b.plan.Pods {
		if _, err := pods.Create(ctx, podOf(&b.plan.Pods[i], b.WorkloadImage), metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("pod %s: %w", b.plan.Pods[i].Name, err)
		}
		if err := b.SetReady(ctx, b.plan.Pods[i].Name, true); err != nil {
			return err
		}
	}
	for i := range b.plan.Services {
		s := &b.plan.Services[i]
		made, err := services.Create(ctx, objects.Service(s, metav1.NamespaceDefault, b.plan.Pods), metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("service %s: %w", s.Name, err)
		}
		b.seen.clusterIPs[s.Name] = made.Spec.ClusterIPs
		made.Status.LoadBalancer = s.Status.LoadBalancer
		if _, err := services.UpdateStatus(ctx, made, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("VIP of service %s: %w", s.Name, err)
		}
	}
	if len(b.plan.Pods) == 0 {
		return nil
	}
	return b.waitPods(ctx, metav1.NamespaceDefault)
}

// SetReady sets whether a pod of the topology takes requests.
func (c *Cluster) SetReady(ctx context.Context, pod string, ready bool) error {
	return objects.SetReady(ctx, c.Client, metav1.NamespaceDefault, pod, ready)
}
