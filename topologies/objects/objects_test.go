package objects

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/dsrlab/dsrlab/topologies"
)

// talk is the plan of the talk's topology.
func talk(t *testing.T) *topologies.Plan {
	t.Helper()
	topology, err := topologies.Lookup("talk")
	require.NoError(t, err)
	plan, err := topologies.PlanOf(topology)
	require.NoError(t, err)
	return plan
}

func TestPod(t *testing.T) {
	p := &talk(t).Pods[0]
	made := Pod(p, "lab", "image:1")
	assert.Equal(t, p.Name, made.Name)
	assert.Equal(t, "lab", made.Namespace)
	assert.Equal(t, p.Labels, made.Labels)
	assert.Empty(t, made.Spec.NodeName, "not chosen yet")
	require.Len(t, made.Spec.Containers, 1)
	container := made.Spec.Containers[0]
	assert.Equal(t, "image:1", container.Image)
	assert.Equal(t, "/labpod", container.Command[0])
	assert.Len(t, container.Ports, 2*len(p.Workload), "each for TCP and UDP")
	assert.Equal(t, ReadyGate, made.Spec.ReadinessGates[0].ConditionType)
}

// The cluster gives addresses and status; names of target ports become numbers.
func TestService(t *testing.T) {
	plan := talk(t)
	in := &plan.Services[0]
	in.Spec.ClusterIP, in.Spec.ClusterIPs = "10.96.0.1", []string{"10.96.0.1"}
	in.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "203.0.113.1"}}
	in.Spec.Ports[0].TargetPort = intstr.FromString(plan.Pods[0].Workload[0].Name)
	made := Service(in, "lab", plan.Pods)
	assert.Equal(t, "lab", made.Namespace)
	assert.Empty(t, made.Spec.ClusterIP)
	assert.Empty(t, made.Spec.ClusterIPs)
	assert.Empty(t, made.Status.LoadBalancer.Ingress)
	assert.Equal(t, intstr.FromInt32(int32(plan.Pods[0].Workload[0].Port)), made.Spec.Ports[0].TargetPort)
	assert.Equal(t, "10.96.0.1", in.Spec.ClusterIP, "its argument stays as it is")
}

func TestSetReady(t *testing.T) {
	client := fake.NewClientset(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "lab", Name: "pod"}})
	for _, ready := range []bool{true, false} {
		require.NoError(t, SetReady(t.Context(), client, "lab", "pod", ready))
		pod, err := client.CoreV1().Pods("lab").Get(t.Context(), "pod", metav1.GetOptions{})
		require.NoError(t, err)
		assert.Equal(t, ready, PodHas(pod, ReadyGate))
		assert.Len(t, pod.Status.Conditions, 1)
	}
	err := SetReady(t.Context(), client, "lab", "gone", true)
	require.ErrorContains(t, err, "pod gone: set condition dsrlab.dev/ready: ")
}

func TestNodeIsReady(t *testing.T) {
	node := &corev1.Node{}
	assert.False(t, NodeIsReady(node), "kubelet has not reported yet")
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown}}
	assert.False(t, NodeIsReady(node))
	node.Status.Conditions[0].Status = corev1.ConditionTrue
	assert.True(t, NodeIsReady(node))
}

// The container's own reason comes first, then the scheduler's.
func TestWhyNotReady(t *testing.T) {
	pod := &corev1.Pod{Status: corev1.PodStatus{Message: "evicted"}}
	assert.Equal(t, "evicted", WhyNotReady(pod))
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes"}}
	assert.Equal(t, "Unschedulable 0/3 nodes", WhyNotReady(pod))
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error", Message: "exit 1"}},
	}}
	assert.Equal(t, "Error exit 1", WhyNotReady(pod))
	pod.Status.ContainerStatuses[0].State.Waiting = &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "no such image"}
	assert.Equal(t, "ErrImagePull no such image", WhyNotReady(pod))
}

// A set that has no node yet, or whose change the controller has not seen, is not rolled out.
func TestIsRolledOut(t *testing.T) {
	set := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Generation: 2}}
	assert.False(t, IsRolledOut(set))
	set.Status = appsv1.DaemonSetStatus{ObservedGeneration: 2, DesiredNumberScheduled: 3, UpdatedNumberScheduled: 3, NumberReady: 3}
	assert.True(t, IsRolledOut(set))
	for _, change := range []func(*appsv1.DaemonSetStatus){
		func(s *appsv1.DaemonSetStatus) { s.ObservedGeneration = 1 },
		func(s *appsv1.DaemonSetStatus) { s.NumberReady = 2 },
		func(s *appsv1.DaemonSetStatus) { s.UpdatedNumberScheduled = 2 },
	} {
		changed := *set
		change(&changed.Status)
		assert.False(t, IsRolledOut(&changed))
	}
}
