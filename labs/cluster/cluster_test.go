package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/console"
	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

// brief are timeouts for what does not happen, in which all else must.
var brief = Timeouts{Pods: 3 * time.Second, VIP: 3 * time.Second, Endpoints: 3 * time.Second, Settle: 3 * time.Second, Remove: 3 * time.Second}

// fakeCluster has two nodes. Pods become ready, but for what change does to them.
func fakeCluster(change func(*corev1.Pod)) *fake.Clientset {
	a, b := node("w1", "3"), node("w2", "4")
	client := fake.NewClientset(&a, &b)
	client.PrependReactor("create", "pods", func(action kubetesting.Action) (bool, runtime.Object, error) {
		p := action.(kubetesting.CreateAction).GetObject().(*corev1.Pod)
		p.Status.PodIP = "10.244.4.7"
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		change(p)
		return false, nil, nil // and it is made
	})
	return client
}

func nothing(*corev1.Pod) {}

// runLab runs a lab as the command line does.
func runLab(t *testing.T, ctx context.Context, client *fake.Clientset) (results.Summary, string) {
	t.Helper()
	lab, err := labs.Lookup("01-source-ip")
	require.NoError(t, err)
	c, err := New(ctx, lab, Options{Client: client, DataPath: AsIs, Image: "image:tag", Timeouts: brief})
	require.NoError(t, err)
	var out bytes.Buffer
	runner := labs.Runner{Substrate: topologies.SubstrateCluster, Existing: c, RunsDir: t.TempDir(), Narrator: &console.Console{Out: terminal.Fixed{Writer: &out, Width: 1000}}}
	summary, err := runner.Run(ctx, c.Subset.Lab)
	require.NoError(t, err)
	run, err := results.Open(filepath.Join(runner.RunsDir, summary.Run))
	require.NoError(t, err)
	assert.Equal(t, "cluster", run.Manifest.Substrate)
	return summary, out.String()
}

func assertClean(t *testing.T, client *fake.Clientset) {
	t.Helper()
	list, err := client.CoreV1().Namespaces().List(context.Background(), metav1.ListOptions{})
	require.NoError(t, err)
	assert.Empty(t, list.Items)
	made := 0
	for _, a := range client.Actions() {
		assert.Contains(t, []string{"namespaces", "pods", "services", "nodes", "daemonsets", "endpointslices", "version"}, a.GetResource().Resource)
		if a.GetVerb() == "create" || a.GetVerb() == "patch" {
			if a.GetResource().Resource != "namespaces" {
				assert.Regexp(t, "^dsrlab-[0-9a-f]{8}$", a.GetNamespace())
			}
			made++
		}
		assert.NotContains(t, []string{"update", "delete-collection"}, a.GetVerb())
	}
	assert.Positive(t, made)
}

// TestRemoved: the namespace is gone, whatever goes wrong after it was made.
func TestRemoved(t *testing.T) {
	t.Parallel() // most of the time it waits for what does not happen
	fails := func(verb, resource string) func(*fake.Clientset) {
		return func(c *fake.Clientset) {
			c.PrependReactor(verb, resource, func(kubetesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("refused") })
		}
	}
	for _, test := range []struct {
		name   string
		pod    func(*corev1.Pod)
		change func(*fake.Clientset)
		result results.Result
		reason string
	}{
		{"no pod can be made", nothing, fails("create", "pods"), results.Failed, "open the cluster: pod tcp-echo: refused"},
		{"no readiness can be set", nothing, fails("patch", "pods"), results.Failed, "pod tcp-echo: set condition dsrlab.dev/ready: refused"},
		{"no service can be made", nothing, fails("create", "services"), results.Failed, "open the cluster: service tcp-echo-1: refused"},
		{
			"image is not there", func(p *corev1.Pod) {
				p.Status.Conditions = nil
				p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{
					Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "no such image"}}}}
			}, func(*fake.Clientset) {}, results.Unsupported, "can't get the workload image image:tag (ErrImagePull no such image): make image writes it",
		},
		{
			"pods do not become ready", func(p *corev1.Pod) { p.Status.Conditions = nil }, func(*fake.Clientset) {},
			results.Failed, "pods are not ready within 3s",
		},
		{"endpoints do not follow", nothing, func(*fake.Clientset) {}, results.Failed, "EndpointSlices do not follow within 3s"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			client := fakeCluster(test.pod)
			test.change(client)
			summary, out := runLab(t, t.Context(), client)
			assert.Equal(t, test.result, summary.Result)
			assert.Contains(t, summary.Reason(), test.reason)
			assert.Contains(t, out, "left out    variants none, dnat-only, snat, dsr")
			assertClean(t, client)
		})
	}
}

// TestInterrupted: an interrupt while something is waited for ends the run, and removes what was made.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	client := fakeCluster(func(p *corev1.Pod) {
		p.Status.Conditions = nil
		cancel()
	})
	summary, _ := runLab(t, ctx, client)
	assert.Equal(t, results.Untested, summary.Result)
	assert.Contains(t, summary.Reason(), "interrupted after 0 of 1 trials; nothing was measured")
	assertClean(t, client)
}

// TestNamespaceThatStays: what can't be removed is named, with the command that does it.
func TestNamespaceThatStays(t *testing.T) {
	t.Parallel()
	client := fakeCluster(nothing)
	client.PrependReactor("delete", "namespaces", func(kubetesting.Action) (bool, runtime.Object, error) { return true, nil, nil })
	summary, _ := runLab(t, t.Context(), client)
	assert.Regexp(t, `remove namespace dsrlab-[0-9a-f]{8} \(kubectl delete namespace dsrlab-[0-9a-f]{8} does it by hand\)`, summary.Reason())
	assert.Contains(t, summary.Reason(), "it is still there")
}

func TestObjects(t *testing.T) {
	plan := planOf(t, "local-policy")
	pod := podOf(&plan.Pods[0], "dsrlab-x", "image:tag", "host-w1")
	assert.Equal(t, "dsrlab-x", pod.Namespace)
	assert.Equal(t, map[string]string{"kubernetes.io/hostname": "host-w1"}, pod.Spec.NodeSelector)
	assert.Equal(t, []string{"/labpod", "serve", "--echo", "8080"}, pod.Spec.Containers[0].Command)
	assert.Equal(t, corev1.PullIfNotPresent, pod.Spec.Containers[0].ImagePullPolicy)
	assert.True(t, *pod.Spec.SecurityContext.RunAsNonRoot)

	service := serviceOf(&plan.Services[0], "web-1", "dsrlab-x", &testbed.Variant{Name: "dsr", DataPath: DSRLab, Mode: "dsr", Policy: "Cluster"}, plan.Pods)
	assert.Equal(t, map[string]string{"dsrlab.dev/variant": "dsr", "dsrlab.dev/forwarding-mode": "dsr"}, service.Annotations)
	assert.Equal(t, corev1.ServiceTypeLoadBalancer, service.Spec.Type)
	assert.Equal(t, corev1.ServiceExternalTrafficPolicyCluster, service.Spec.ExternalTrafficPolicy)
	assert.Empty(t, service.Spec.LoadBalancerIP)
	assert.Zero(t, service.Spec.HealthCheckNodePort)
	assert.Empty(t, service.Spec.ClusterIP)
	for _, p := range service.Spec.Ports {
		assert.Zero(t, p.NodePort)
	}
	assert.NotZero(t, plan.Services[0].Spec.HealthCheckNodePort, "the plan is as it was")

	service = serviceOf(&plan.Services[0], "web-1", "dsrlab-x", &testbed.Variant{Name: "as-is-local", DataPath: AsIs}, plan.Pods)
	assert.Equal(t, map[string]string{"dsrlab.dev/variant": "as-is-local"}, service.Annotations)
	assert.Equal(t, corev1.ServiceExternalTrafficPolicyLocal, service.Spec.ExternalTrafficPolicy)
}

func TestFindAgent(t *testing.T) {
	agent := func(ready int32) *appsv1.DaemonSet {
		return &appsv1.DaemonSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "dsrd"},
			Status:     appsv1.DaemonSetStatus{DesiredNumberScheduled: 3, UpdatedNumberScheduled: 3, NumberReady: ready},
		}
	}
	assert.ErrorIs(t, FindAgent(t.Context(), fake.NewClientset()), ErrNoAgent)
	assert.ErrorIs(t, FindAgent(t.Context(), fake.NewClientset(agent(2))), ErrNoAgent)
	assert.NoError(t, FindAgent(t.Context(), fake.NewClientset(agent(3))))
}

func TestConnect(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kubeconfig")
	const text = `apiVersion: v1
kind: Config
current-context: one
contexts:
- {name: one, context: {cluster: one, user: u}}
- {name: two, context: {cluster: two, user: u}}
clusters:
- {name: one, cluster: {server: "https://192.0.2.1:6443"}}
- {name: two, cluster: {server: "https://192.0.2.2:6443"}}
users:
- {name: u, user: {token: t}}
`
	require.NoError(t, os.WriteFile(file, []byte(text), 0o400))
	for _, name := range []string{"", "two"} {
		_, err := Connect(file, name)
		assert.NoError(t, err)
	}
	_, err := Connect(file, "three")
	assert.ErrorContains(t, err, `context "three" does not exist`)
	_, err = Connect(filepath.Join(t.TempDir(), "none"), "")
	assert.ErrorContains(t, err, "no such file")
	after, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, text, string(after))
	entries, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	assert.Len(t, entries, 1, "no lock, no backup")
}

func TestEndpoints(t *testing.T) {
	no := false
	slice := func(endpoints ...discoveryv1.Endpoint) discoveryv1.EndpointSlice {
		return discoveryv1.EndpointSlice{Endpoints: endpoints}
	}
	ready := readyEndpoints([]discoveryv1.EndpointSlice{
		slice(discoveryv1.Endpoint{Addresses: []string{"10.0.0.2"}}, discoveryv1.Endpoint{Addresses: []string{"10.0.0.3"}, Conditions: discoveryv1.EndpointConditions{Ready: &no}}),
		slice(discoveryv1.Endpoint{Addresses: []string{"10.0.0.1"}}, discoveryv1.Endpoint{Addresses: []string{"10.0.0.2"}}),
	})
	assert.True(t, sameAddresses(ready, []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}), "%v", ready)
	assert.False(t, sameAddresses(ready, []netip.Addr{netip.MustParseAddr("10.0.0.1")}))
	assert.True(t, sameAddresses(nil, nil))
}

func TestFound(t *testing.T) {
	for _, test := range []struct {
		o    Observation
		want string
	}{
		{Observation{Count: 40}, "no pod was reached"},
		{Observation{Count: 40, Answered: 40, Saw: map[string]int{theClient: 40}}, "the pod saw the client 40 times"},
		{Observation{Count: 40, Answered: 39, Saw: map[string]int{theClient: 30, "node-a": 9}}, "the pod saw node-a 9 times; the client 30 times"},
		{Observation{Health: []string{"200", "503"}}, "status 200, then 503"},
	} {
		assert.Equal(t, test.want, test.o.Found())
	}
	c := Cluster{seen: []Observation{
		{Variant: "as-is", Policy: "Cluster", Called: "VIP", Protocol: "TCP", Count: 4, Answered: 3, Saw: map[string]int{theClient: 3}},
		{Variant: "as-is", Policy: "Cluster", Called: "health check of node-a", Protocol: "HTTP", Health: []string{"200"}},
	}}
	var out bytes.Buffer
	c.Summarize(&out)
	lines := strings.Split(out.String(), "\n")
	assert.Contains(t, lines[3], "3 of 4", fmt.Sprint(lines))
	assert.Contains(t, lines[4], "status 200")
}
