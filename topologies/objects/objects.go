// Package objects has a topology's pods and services as Kubernetes objects, and what is asked of such objects on any cluster.
package objects

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"github.com/dsrlab/dsrlab/topologies"
)

// ReadyGate is a readiness gate of all pods of a topology: SetReady sets which of them take requests.
const ReadyGate corev1.PodConditionType = "dsrlab.dev/ready"

// Pod is a pod of the topology as an object. Its node is not chosen yet. The image has the workload binary /labpod.
func Pod(p *topologies.Pod, namespace, image string) *corev1.Pod {
	var ports []corev1.ContainerPort
	for _, w := range p.Workload {
		for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP} {
			ports = append(ports, corev1.ContainerPort{ContainerPort: int32(w.Port), Protocol: protocol})
		}
	}
	no, soon := false, int64(1)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: namespace, Labels: p.Labels},
		Spec: corev1.PodSpec{
			ReadinessGates:               []corev1.PodReadinessGate{{ConditionType: ReadyGate}},
			Containers:                   []corev1.Container{{Name: "workload", Image: image, Command: p.Serve("/labpod"), Ports: ports}},
			AutomountServiceAccountToken: &no, EnableServiceLinks: &no, TerminationGracePeriodSeconds: &soon,
		},
	}
}

// Service is a service of the topology as an object, without its status. Target ports are numbers: in an object a container's
// port of a name has one protocol, and the workload serves two.
func Service(s *corev1.Service, namespace string, pods []topologies.Pod) *corev1.Service {
	made := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: s.Name, Namespace: namespace, Labels: s.Labels, Annotations: s.Annotations},
		Spec:       *s.Spec.DeepCopy(),
	}
	made.Spec.ClusterIP, made.Spec.ClusterIPs = "", nil // the cluster gives one
	selector := labels.SelectorFromSet(s.Spec.Selector)
	for i := range made.Spec.Ports {
		port := &made.Spec.Ports[i]
		for _, p := range pods {
			for _, w := range p.Workload {
				if selector.Matches(labels.Set(p.Labels)) && port.TargetPort.StrVal != "" && w.Name == port.TargetPort.StrVal {
					port.TargetPort = intstr.FromInt32(int32(w.Port))
				}
			}
		}
	}
	return made
}

// SetReady reports whether a pod takes requests.
func SetReady(ctx context.Context, client kubernetes.Interface, namespace, pod string, ready bool) error {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	patch := fmt.Sprintf(`{"status":{"conditions":[{"type":%q,"status":%q}]}}`, ReadyGate, status)
	_, err := client.CoreV1().Pods(namespace).Patch(ctx, pod, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
	if err != nil {
		return fmt.Errorf("pod %s: set condition %s: %w", pod, ReadyGate, err)
	}
	return nil
}
