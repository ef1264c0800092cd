package kind

import (
	"context"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/dsrlab/dsrlab/topologies"
)

// readyGate is a readiness gate of all pods of a topology: a lab says which of them take requests.
const readyGate corev1.PodConditionType = "dsrlab.dev/ready"

// podOf is a pod of the topology as an object, its node chosen by label.
func podOf(p *topologies.Pod, image string) *corev1.Pod {
	argv := []string{"/labpod", "serve"}
	var ports []corev1.ContainerPort
	for _, w := range p.Workload {
		argv = append(argv, "--"+string(w.Kind), strconv.Itoa(int(w.Port)))
		for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP} {
			ports = append(ports, corev1.ContainerPort{ContainerPort: int32(w.Port), Protocol: protocol})
		}
	}
	no, soon := false, int64(1)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: metav1.NamespaceDefault, Labels: p.Labels},
		Spec: corev1.PodSpec{
			NodeSelector:   map[string]string{nodeLabel: p.Node},
			ReadinessGates: []corev1.PodReadinessGate{{ConditionType: readyGate}},
			Containers: []corev1.Container{{
				Name: "workload", Image: image, ImagePullPolicy: corev1.PullNever, Command: argv, Ports: ports,
			}},
			AutomountServiceAccountToken: &no, EnableServiceLinks: &no, TerminationGracePeriodSeconds: &soon,
		},
	}
}

// serviceOf is a service of the topology as an object, without its status. Target ports are numbers: in an object a container's
// port of a name has one protocol, and the workload serves two.
func serviceOf(s *corev1.Service, pods []topologies.Pod) *corev1.Service {
	made := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Name: s.Name, Namespace: metav1.NamespaceDefault, Labels: s.Labels, Annotations: s.Annotations,
		},
		Spec: *s.Spec.DeepCopy(),
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
		made, err := services.Create(ctx, serviceOf(s, b.plan.Pods), metav1.CreateOptions{})
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

// SetReady says whether a pod of the topology takes requests.
func (c *Cluster) SetReady(ctx context.Context, pod string, ready bool) error {
	status := "False"
	if ready {
		status = "True"
	}
	patch := fmt.Sprintf(`{"status":{"conditions":[{"type":%q,"status":%q}]}}`, readyGate, status)
	_, err := c.Client.CoreV1().Pods(metav1.NamespaceDefault).
		Patch(ctx, pod, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
	if err != nil {
		return fmt.Errorf("pod %s: set condition %s: %w", pod, readyGate, err)
	}
	return nil
}
