package pools

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
)

// cluster is an API server of values, and agents that give out addresses.
type cluster struct {
	*fake.Clientset
	mu       sync.Mutex
	writers  []string // who wrote status, in order
	twice    []string // moments at which two services had one address
	stopping map[string]func()
}

func newCluster(objects ...*corev1.Service) *cluster {
	c := &cluster{Clientset: fake.NewClientset(), stopping: map[string]func(){}}
	for _, o := range objects {
		_ = c.Tracker().Add(o)
	}
	return c
}

// agent runs Run with a client whose writes are noted.
func (c *cluster) agent(t *testing.T, name string, pools ...Pool) {
	t.Helper()
	client := fake.NewClientset() // of the same objects
	client.PrependReactor("*", "*", func(action ktesting.Action) (bool, runtime.Object, error) {
		if patch, ok := action.(ktesting.PatchAction); ok && patch.GetSubresource() == "status" {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.writers = append(c.writers, name)
			object, err := c.Invokes(action, &corev1.Service{})
			c.look()
			return true, object, err
		}
		object, err := c.Invokes(action, nil)
		return true, object, err
	})
	client.PrependWatchReactor("*", func(action ktesting.Action) (handled bool, ret watch.Interface, err error) {
		ret, err = c.InvokesWatch(action)
		return true, ret, err
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		assert.NoError(t, Run(ctx, Options{
			Client: client, Identity: name, Namespace: "kube-system", Pools: pools, Lease: 6 * time.Second, Log: slog.New(slog.DiscardHandler),
		}))
	}()
	stop := sync.OnceFunc(func() { cancel(); <-ended })
	c.stopping[name] = stop
	t.Cleanup(stop)
}

// look notes addresses that two services have.
func (c *cluster) look() {
	list, _ := c.CoreV1().Services("").List(context.Background(), metav1.ListOptions{})
	owner := map[string]string{}
	for _, s := range list.Items {
		for _, ingress := range s.Status.LoadBalancer.Ingress {
			if owner[ingress.IP] != "" {
				c.twice = append(c.twice, fmt.Sprintf("%s: %s and %s", ingress.IP, owner[ingress.IP], s.Name))
			}
			owner[ingress.IP] = s.Name
		}
	}
}

func (c *cluster) addresses(name string) string {
	s, err := c.CoreV1().Services("default").Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, ingress := range s.Status.LoadBalancer.Ingress {
		all = append(all, ingress.IP)
	}
	return strings.Join(all, " ")
}

func (c *cluster) wait(t *testing.T, name, want string) {
	t.Helper()
	require.Eventually(t, func() bool { return c.addresses(name) == want }, time.Minute, 10*time.Millisecond, "%s: want %s", name, want)
}

func (c *cluster) change(t *testing.T, name string, change ...func(*corev1.Service)) {
	t.Helper()
	s, err := c.CoreV1().Services("default").Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	for _, f := range change {
		f(s)
	}
	_, err = c.CoreV1().Services("default").Update(t.Context(), s, metav1.UpdateOptions{})
	require.NoError(t, err)
}

// TestRun: of two agents one writes, until it ends; addresses are given, exchanged and taken back; what can't be given is an Event.
func TestRun(t *testing.T) {
	pool := poolOf("a", "192.0.2.0/31")
	c := newCluster(lb(1), lb(2))
	c.agent(t, "node-1", pool)
	c.wait(t, "s1", "192.0.2.0")
	c.wait(t, "s2", "192.0.2.1")
	c.agent(t, "node-2", pool)
	c.mu.Lock()
	assert.Equal(t, []string{"node-1", "node-1"}, c.writers)
	c.mu.Unlock()

	_, err := c.CoreV1().Services("default").Create(t.Context(), lb(3), metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		events, err := c.CoreV1().Events("").List(t.Context(), metav1.ListOptions{})
		return err == nil && slices.ContainsFunc(events.Items, func(e corev1.Event) bool {
			return e.InvolvedObject.Name == "s3" && e.Type == corev1.EventTypeWarning && strings.Contains(e.Message, "no pool has a free IPv4 address")
		})
	}, time.Minute, 10*time.Millisecond)

	c.stopping["node-1"]()
	c.change(t, "s1", typed(corev1.ServiceTypeClusterIP))
	c.wait(t, "s1", "")
	c.wait(t, "s3", "192.0.2.0")
	c.mu.Lock()
	assert.Equal(t, "node-2", c.writers[len(c.writers)-1])
	c.mu.Unlock()

	c.change(t, "s2", asks("192.0.2.0")) // s3 has it
	c.change(t, "s3", asks("192.0.2.1"))
	c.wait(t, "s2", "192.0.2.0")
	c.wait(t, "s3", "192.0.2.1")
	require.NoError(t, c.CoreV1().Services("default").Delete(t.Context(), "s2", metav1.DeleteOptions{}))
	c.change(t, "s1", typed(corev1.ServiceTypeLoadBalancer))
	c.wait(t, "s1", "192.0.2.0")
	c.mu.Lock()
	defer c.mu.Unlock()
	assert.Empty(t, c.twice)
}

// TestManyAtOnce: a rollout of services is given addresses one each.
func TestManyAtOnce(t *testing.T) {
	c := newCluster()
	c.agent(t, "node-1", poolOf("a", "198.51.100.0/26"))
	for i := range 40 {
		s := lb(40 - i) // each older than those before it
		s.Name = "m" + strconv.Itoa(i)
		_, err := c.CoreV1().Services("default").Create(t.Context(), s, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		for i := range 40 {
			if c.addresses("m"+strconv.Itoa(i)) == "" {
				return false
			}
		}
		return true
	}, time.Minute, 20*time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	assert.Empty(t, c.twice)
	assert.Len(t, c.writers, 40, "none is written twice")
}
