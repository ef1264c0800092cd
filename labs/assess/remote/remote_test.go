package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/dsrlab/dsrlab/labs/assess/prober"
	"github.com/dsrlab/dsrlab/labs/workload/probe"
)

// now is the API server's time.
func now() time.Time { return time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC) }

func readyNode(name, address string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{
		Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}},
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
	}}
}

// fakeCluster has two nodes. Pods run at once, but for what change does to them. Users may do all but denied, as verb and resource.
func fakeCluster(change func(*corev1.Pod), denied ...string) *fake.Clientset {
	client := fake.NewClientset(readyNode("a", "10.1.0.1"), readyNode("b", "10.1.0.2"))
	client.PrependReactor("create", "pods", func(action kubetesting.Action) (bool, runtime.Object, error) {
		p := action.(kubetesting.CreateAction).GetObject().(*corev1.Pod)
		p.Status.Phase = corev1.PodRunning
		change(p)
		return false, nil, nil // and it is made
	})
	client.PrependReactor("create", "namespaces", func(action kubetesting.Action) (bool, runtime.Object, error) {
		n := action.(kubetesting.CreateAction).GetObject().(*corev1.Namespace)
		n.CreationTimestamp, n.UID = metav1.NewTime(now()), "uid-of-this"
		return false, nil, nil
	})
	client.PrependReactor("create", "selfsubjectaccessreviews", func(action kubetesting.Action) (bool, runtime.Object, error) {
		review := action.(kubetesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview)
		asked := review.Spec.ResourceAttributes
		review.Status.Allowed = true
		for _, d := range denied {
			review.Status.Allowed = review.Status.Allowed && d != asked.Verb+" "+asked.Resource
		}
		return true, review, nil
	})
	return client
}

func nothing(*corev1.Pod) {}

// agents are the far ends of what is attached to: those of pods in broken end with their first probe.
type agents struct {
	mu       sync.Mutex
	broken   map[string]bool
	attached map[string]int
	// nodes are those that see what is sent to their addresses; translated, if valid, is the source that they see.
	nodes      map[netip.Addr]func(probe.Sighting)
	translated netip.Addr
	unreached  bool
}

// attach is an agent without a network.
func (a *agents) attach(_ context.Context, _, pod string, in io.Reader, out, errs io.Writer) error {
	a.mu.Lock()
	a.attached[pod]++
	broken := a.broken[pod]
	a.mu.Unlock()
	decoder, encoder := json.NewDecoder(in), json.NewEncoder(out)
	own := netip.MustParsePrefix(map[string]string{"probe-0": "10.1.0.1/24", "probe-1": "10.1.0.2/24"}[pod])
	a.mu.Lock()
	var saying sync.Mutex
	say := func(m probe.Message) error {
		saying.Lock()
		defer saying.Unlock()
		return encoder.Encode(m)
	}
	a.nodes[own.Addr()] = func(s probe.Sighting) { _ = say(probe.Message{Sighting: &s}) }
	a.mu.Unlock()
	for {
		var r probe.Request
		if err := decoder.Decode(&r); err != nil {
			return nil
		}
		answer := &probe.Answer{Number: r.Number}
		if r.Facts {
			answer.Facts = &probe.Facts{Kernel: "6.1", Outside: "eth1", At: time.Unix(0, 0), Devices: []probe.Device{
				{Name: "eth0", MTU: 1500, Addresses: []netip.Prefix{own}},
				{Name: "eth1", MTU: 9000, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.9/24")}},
			}}
		}
		if broken && r.Send != nil {
			_, _ = io.WriteString(errs, "labpod: the node is on fire\n")
			return errors.New("connection reset")
		}
		if err := say(probe.Message{Answer: answer}); err != nil {
			return err
		}
	}
}

// options are those of a session on a fake cluster, and what it says.
func options(client *fake.Clientset, a *agents) (Options, *strings.Builder) {
	said := &strings.Builder{}
	return Options{
		Client: client, Attach: a.attach, Of: "cluster x", Image: "image:tag", TTL: 15 * time.Minute, NetAdmin: true,
		Here: Here{
			AddressTo: func(netip.Addr) (netip.Prefix, error) { return netip.MustParsePrefix("192.0.2.2/24"), nil },
			Open: func(func(probe.Sighting)) (prober.Station, error) {
				return &silent{a}, nil
			},
		},
		OnStep:   func(step string) { fmt.Fprintln(said, step) },
		Timeouts: Timeouts{Pods: time.Minute, Remove: time.Minute, Poll: time.Millisecond},
	}, said
}

func newAgents() *agents {
	return &agents{broken: map[string]bool{}, attached: map[string]int{}, nodes: map[netip.Addr]func(probe.Sighting){}}
}

// silent is a client that sees nothing. The agents see what it sends to their nodes.
type silent struct{ to *agents }

func (s *silent) Send(_ context.Context, all ...probe.Probe) error {
	s.to.mu.Lock()
	defer s.to.mu.Unlock()
	for _, p := range all {
		see := s.to.nodes[p.Destination.Addr()]
		if see == nil || s.to.unreached {
			continue
		}
		if s.to.translated.IsValid() {
			p.Source = netip.AddrPortFrom(s.to.translated, 1024)
		}
		see(probe.Sighting{ID: p.ID, Level: probe.LevelDevice, Source: p.Source})
	}
	return nil
}

func (*silent) Guard(context.Context, ...uint16) error      { return nil }
func (*silent) Facts(context.Context) (*probe.Facts, error) { return &probe.Facts{}, nil }
func (*silent) Close() error                                { return nil }

// assertClean checks that nothing is left but what was there, and that nothing else was ever touched.
func assertClean(t *testing.T, client *fake.Clientset) {
	t.Helper()
	ctx := context.Background()
	namespaces, err := client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	require.NoError(t, err)
	assert.Empty(t, namespaces.Items)
	roles, err := client.RbacV1().ClusterRoles().List(ctx, metav1.ListOptions{})
	require.NoError(t, err)
	assert.Empty(t, roles.Items)
	bindings, err := client.RbacV1().ClusterRoleBindings().List(ctx, metav1.ListOptions{})
	require.NoError(t, err)
	assert.Empty(t, bindings.Items)
	for _, a := range client.Actions() {
		switch a.GetVerb() {
		case "get", "list":
		case "create", "delete":
			if a.GetResource().Resource != "selfsubjectaccessreviews" && a.GetNamespace() != "" {
				assert.Regexp(t, "^dsrlab-assess-[0-9a-f]{8}$", a.GetNamespace())
			}
		default:
			t.Errorf("%s %s", a.GetVerb(), a.GetResource().Resource)
		}
	}
}

// A session has an agent on each node, says what it makes before it does, and leaves nothing.
func TestSession(t *testing.T) {
	client, all := fakeCluster(nothing), newAgents()
	o, said := options(client, all)
	s, err := Open(t.Context(), o)
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"probe-0": 1, "probe-1": 1}, all.attached)
	name := s.Namespace()
	assert.Regexp(t, "^dsrlab-assess-[0-9a-f]{8}$", name)
	assert.Equal(t, "make namespace "+name+", and in it a pod on each of the 2 nodes of image image:tag, which use the node's network\n"+
		"  with capability NET_RAW, to send and see single packets by packet sockets\n"+
		"  with capability NET_ADMIN, to read the node's nf_tables rules, which the kernel lists to nobody else; nothing is changed\n"+
		"  and a pod that removes the namespace after 15m0s if this process can't, with a cluster role for this one namespace\n"+
		"  all of it is removed at the end\nwait for the 2 pods\nconnect to the agents\n", said.String())
	assert.Equal(t, "namespace "+name+", which removes itself after 15m0s", s.Leaves())
	pods, err := client.CoreV1().Pods(name).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	assert.Len(t, pods.Items, 3)
	role, err := client.RbacV1().ClusterRoles().Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	assert.EqualValues(t, "uid-of-this", role.OwnerReferences[0].UID)

	site, err := s.site()
	require.NoError(t, err)
	assert.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.1.0.2/24")}, site.Nodes[1].Addresses)
	opened, err := site.Nodes[1].Open(t.Context(), func(probe.Sighting) {})
	require.NoError(t, err)
	facts, err := opened.Facts(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "eth0", facts.Outside, "the device that the cluster uses, not that of the default route")

	require.NoError(t, s.Close(t.Context()))
	assert.Equal(t, "nothing", s.Leaves())
	assert.Contains(t, said.String(), "remove namespace "+name+"\nremoved: the cluster is as it was\n")
	assertClean(t, client)
	require.NoError(t, s.Close(t.Context()), "there is nothing to do")
}

// What can't be probed is said, with what lacks, and what was made until then is removed.
func TestOpenFails(t *testing.T) {
	refused := func(verb, resource string, err error) func(*fake.Clientset) {
		return func(c *fake.Clientset) {
			c.PrependReactor(verb, resource, func(kubetesting.Action) (bool, runtime.Object, error) { return true, nil, err })
		}
	}
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "probe-0", errors.New("violates PodSecurity \"restricted\""))
	waiting := func(reason string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodPending
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "no such host"}}}}
		}
	}
	for name, c := range map[string]struct {
		pod    func(*corev1.Pod)
		denied []string
		change func(*fake.Clientset)
		want   string
		lacks  bool
	}{
		"no rights": {
			nothing, []string{"create namespaces", "create pods"}, nil,
			"this user may not create namespaces, create pods, create pods/attach (nothing was made)", true,
		},
		"nodes may not be listed": {
			nothing, nil, refused("list", "nodes", apierrors.NewForbidden(schema.GroupResource{Resource: "nodes"}, "", errors.New("no"))),
			"this user may not list nodes: nodes is forbidden: no", true,
		},
		"admission": {
			nothing, nil, refused("create", "pods", forbidden),
			`the cluster refuses pod expiry of node a: pods "probe-0" is forbidden: violates PodSecurity "restricted"`, true,
		},
		"image":        {waiting("ErrImagePull"), nil, nil, "node a can't get the image image:tag (ErrImagePull no such host) (make image writes it", true},
		"image, later": {waiting("ImagePullBackOff"), nil, nil, "can't get the image image:tag (ImagePullBackOff", true},
		"slow":         {waiting("ContainerCreating"), nil, nil, "not all pods run within 1ms: pod probe-0 of node a does not run yet: ContainerCreating no such host", false},
		"role":         {nothing, nil, refused("create", "clusterroles", errors.New("no")), "make cluster role dsrlab-assess-", false},
		"namespace":    {nothing, nil, refused("create", "namespaces", errors.New("no answer")), "make namespace dsrlab-assess-", false},
		"API server":   {nothing, nil, refused("list", "pods", errors.New("not there")), "not all pods run within 1ms: not there", false},
		"no nodes":     {nothing, nil, refused("list", "nodes", nil), "the cluster has no node to probe: it has no nodes", true},
		"ended at once": {func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodFailed
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				Reason: "Error", ExitCode: 1, Message: "labpod: operation not permitted"}}}}
		}, nil, nil, "of node a has ended at once: Error, exit code 1 labpod: operation not permitted", true},
	} {
		t.Run(name, func(t *testing.T) {
			client := fakeCluster(c.pod, c.denied...)
			if name == "no nodes" {
				client = fake.NewClientset()
			} else if c.change != nil {
				c.change(client)
			}
			o, _ := options(client, newAgents())
			if strings.Contains(c.want, "within 1ms") {
				o.Timeouts.Pods = time.Millisecond
			}
			_, err := Open(t.Context(), o)
			require.ErrorContains(t, err, c.want)
			var lacking *LackingError
			assert.Equal(t, c.lacks, errors.As(err, &lacking))
			assertClean(t, client)
		})
	}
}

// Who may make no cluster role is told what stays after a kill, and probes all the same.
func TestSessionWithoutExpiry(t *testing.T) {
	client := fakeCluster(nothing, "create clusterroles")
	o, said := options(client, newAgents())
	s, err := Open(t.Context(), o)
	require.NoError(t, err)
	assert.Contains(t, said.String(), "this user may not create clusterroles: if this process is killed, an empty namespace stays\n")
	assert.NotContains(t, said.String(), "a pod that removes the namespace")
	assert.Contains(t, s.Leaves(), "whose pods end by themselves: kubectl delete namespace "+s.Namespace())
	pods, err := client.CoreV1().Pods(s.Namespace()).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	assert.Len(t, pods.Items, 2)
	require.NoError(t, s.Close(t.Context()))
	assertClean(t, client)
}

// An agent that ends midway is an error with its node, and no observation.
func TestObserveWithAnAgentThatEnds(t *testing.T) {
	client, all := fakeCluster(nothing), newAgents()
	all.broken["probe-1"] = true
	o, _ := options(client, all)
	s, err := Open(t.Context(), o)
	require.NoError(t, err)
	observed, err := s.Observe(t.Context(), prober.Options{Idle: prober.NoIdle, Patience: time.Millisecond})
	require.EqualError(t, err, "agent on node b: read what the probe agent says: connection reset: labpod: the node is on fire")
	assert.Nil(t, observed)
	require.NoError(t, s.Close(t.Context()))
	assertClean(t, client)
}

// An interrupt while pods are waited for removes what was made.
func TestOpenInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	client := fakeCluster(func(p *corev1.Pod) {
		p.Status.Phase = corev1.PodPending
		cancel()
	})
	o, _ := options(client, newAgents())
	_, err := Open(ctx, o)
	require.ErrorIs(t, err, context.Canceled)
	assertClean(t, client)
}

// What can't be removed is named, with the command that does it.
func TestCloseFails(t *testing.T) {
	client := fakeCluster(nothing)
	o, _ := options(client, newAgents())
	o.Timeouts.Remove = 5 * time.Millisecond
	s, err := Open(t.Context(), o)
	require.NoError(t, err)
	client.PrependReactor("delete", "namespaces", func(kubetesting.Action) (bool, runtime.Object, error) { return true, nil, nil })
	err = s.Close(t.Context())
	require.EqualError(t, err, fmt.Sprintf("remove namespace %s (kubectl delete namespace %[1]s does it by hand): not done within 5ms: it is still there", s.Namespace()))
	roles, err := client.RbacV1().ClusterRoles().List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	assert.Len(t, roles.Items, 1, "what removes it at its TTL still may")
}

// A namespace that does not go, for what is in it, is named with what it waits for. Its cluster role goes all the same.
func TestCloseNamespaceThatDoesNotGo(t *testing.T) {
	client := fakeCluster(nothing)
	o, _ := options(client, newAgents())
	o.Timeouts.Remove = 5 * time.Millisecond
	s, err := Open(t.Context(), o)
	require.NoError(t, err)
	client.PrependReactor("delete", "namespaces", func(kubetesting.Action) (bool, runtime.Object, error) { return true, nil, nil })
	client.PrependReactor("get", "namespaces", func(kubetesting.Action) (bool, runtime.Object, error) {
		going := metav1.NewTime(now())
		return true, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.Namespace(), DeletionTimestamp: &going}, Status: corev1.NamespaceStatus{Conditions: []corev1.NamespaceCondition{
			{Type: corev1.NamespaceDeletionDiscoveryFailure, Status: corev1.ConditionFalse, Message: "all right"},
			{Type: corev1.NamespaceContentRemaining, Status: corev1.ConditionTrue, Message: "Some resources are remaining: pods. has 1 resource instances"},
		}}}, nil
	})
	require.EqualError(t, s.Close(t.Context()), fmt.Sprintf("remove namespace %s (kubectl delete namespace %[1]s does it by hand): not done within 5ms: it is still there; "+
		"NamespaceContentRemaining: Some resources are remaining: pods. has 1 resource instances", s.Namespace()))
	roles, err := client.RbacV1().ClusterRoles().List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	assert.Empty(t, roles.Items)
}

// What former assessments have left is removed once their time is over, and nothing else.
func TestLeftovers(t *testing.T) {
	client := fakeCluster(nothing)
	former := func(name, ttl string, age time.Duration, change func(*corev1.Namespace)) {
		n := namespaceOf(name, time.Minute)
		n.Annotations[ttlAnnotation] = ttl
		n.CreationTimestamp = metav1.NewTime(now().Add(-age))
		change(n)
		require.NoError(t, client.Tracker().Add(n))
	}
	as := func(*corev1.Namespace) {}
	former(namePrefix+"over", "10m", 11*time.Minute, as)
	former(namePrefix+"alive", "10m", 9*time.Minute, as)
	former(namePrefix+"unreadable", "soon", time.Hour, as)
	former(namePrefix+"of-a-lab", "10m", time.Hour, func(n *corev1.Namespace) { delete(n.Labels, purposeLabel) })
	former("of-somebody", "10m", time.Hour, func(n *corev1.Namespace) { n.Labels = nil })
	former("named-otherwise", "10m", time.Hour, as)
	o, said := options(client, newAgents())
	s, err := Open(t.Context(), o)
	require.NoError(t, err)
	require.NoError(t, s.Close(t.Context()))
	left, err := client.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	var names []string
	for _, n := range left.Items {
		names = append(names, n.Name)
	}
	assert.ElementsMatch(t, []string{namePrefix + "alive", namePrefix + "unreadable", namePrefix + "of-a-lab", "of-somebody", "named-otherwise"}, names)
	assert.Contains(t, said.String(), "remove namespace dsrlab-assess-over, which an assessment that was killed has left\n")
}
