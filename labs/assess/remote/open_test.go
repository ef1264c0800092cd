package remote

import (
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	kubetesting "k8s.io/client-go/testing"
)

// A namespace that may have been made without an answer is removed; one that the API server has refused, or that somebody else has, is not touched.
func TestOpenWithoutAnAnswer(t *testing.T) {
	group := schema.GroupResource{Resource: "namespaces"}
	for name, c := range map[string]struct {
		err     error
		removes bool
	}{
		"no answer":      {errors.New("connection reset"), true},
		"timeout":        {apierrors.NewTimeoutError("slow", 1), true},
		"server timeout": {apierrors.NewServerTimeout(group, "create", 1), true},
		"gateway":        {apierrors.NewGenericServerResponse(http.StatusGatewayTimeout, "create", group, "", "", 0, true), true},
		"internal":       {apierrors.NewInternalError(errors.New("etcd")), true},
		"forbidden":      {apierrors.NewForbidden(group, "", errors.New("no")), false},
		"unauthorized":   {apierrors.NewUnauthorized("no"), false},
		"bad request":    {apierrors.NewBadRequest("no"), false},
		"another's":      {apierrors.NewAlreadyExists(group, ""), false},
	} {
		t.Run(name, func(t *testing.T) {
			client := fakeCluster(nothing)
			client.PrependReactor("create", "namespaces", func(action kubetesting.Action) (bool, runtime.Object, error) {
				n := action.(kubetesting.CreateAction).GetObject().(*corev1.Namespace).DeepCopy()
				if !c.removes {
					n.Annotations[markAnnotation] = "another"
				}
				require.NoError(t, client.Tracker().Add(n))
				return true, nil, c.err
			})
			o, _ := options(client, newAgents())
			_, err := Open(t.Context(), o)
			require.ErrorContains(t, err, "make namespace dsrlab-assess-")
			require.ErrorIs(t, err, c.err)
			left, err := client.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
			require.NoError(t, err)
			assert.Equal(t, c.removes, len(left.Items) == 0)
		})
	}
}

// A namespace that a first try has made, whose answer was lost, is known again by the second one.
func TestOpenMadeByATryBefore(t *testing.T) {
	client := fakeCluster(nothing)
	client.PrependReactor("create", "namespaces", func(action kubetesting.Action) (bool, runtime.Object, error) {
		n := action.(kubetesting.CreateAction).GetObject().(*corev1.Namespace).DeepCopy()
		n.UID = "uid-of-the-first"
		require.NoError(t, client.Tracker().Add(n))
		return true, nil, apierrors.NewAlreadyExists(schema.GroupResource{Resource: "namespaces"}, n.Name)
	})
	o, _ := options(client, newAgents())
	s, err := Open(t.Context(), o)
	require.NoError(t, err)
	assert.EqualValues(t, "uid-of-the-first", s.namespace.UID)
	require.NoError(t, s.Close(t.Context()))
	assertClean(t, client)
}

// An interrupt while the namespace is made is heard when it is known to have been.
func TestOpenInterruptedBeforeAnAnswer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	client := fakeCluster(nothing)
	client.PrependReactor("create", "namespaces", func(kubetesting.Action) (bool, runtime.Object, error) {
		cancel()
		return false, nil, nil
	})
	o, _ := options(client, newAgents())
	o.Client = &heedful{Interface: client}
	_, err := Open(ctx, o)
	require.ErrorIs(t, err, context.Canceled)
	assertClean(t, client)
}

// heedful is a cluster whose namespaces are made, but not told of, if the context has ended meanwhile.
type heedful struct{ kubernetes.Interface }

type heedfulCore struct{ typedcorev1.CoreV1Interface }

type heedfulNamespaces struct{ typedcorev1.NamespaceInterface }

func (h *heedful) CoreV1() typedcorev1.CoreV1Interface { return &heedfulCore{h.Interface.CoreV1()} }

func (h *heedfulCore) Namespaces() typedcorev1.NamespaceInterface {
	return &heedfulNamespaces{h.CoreV1Interface.Namespaces()}
}

func (h *heedfulNamespaces) Create(ctx context.Context, n *corev1.Namespace, o metav1.CreateOptions) (*corev1.Namespace, error) {
	made, err := h.NamespaceInterface.Create(ctx, n, o)
	if ctx.Err() != nil {
		return nil, apierrors.NewForbidden(schema.GroupResource{Resource: "namespaces"}, n.Name, ctx.Err()) // whatever it looks like
	}
	return made, err
}

// closer ends when all have been told to.
type closer struct{ told *sync.WaitGroup }

func (c *closer) Close() error {
	c.told.Done()
	c.told.Wait()
	return nil
}

// An agent that is late to end does not keep the others from being told.
func TestCloseAll(t *testing.T) {
	var told sync.WaitGroup
	told.Add(3)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		closeAll([]io.Closer{&closer{&told}, &closer{&told}, &closer{&told}})
	}()
	select {
	case <-closed:
	case <-time.After(time.Minute):
		t.Fatal("one waits for the other")
	}
}

// What is done is said before agents are waited for.
func TestCloseSaysWhatItDoes(t *testing.T) {
	client, all := fakeCluster(nothing), newAgents()
	o, _ := options(client, all)
	s, err := Open(t.Context(), o)
	require.NoError(t, err)
	before := true
	s.OnStep = func(string) {
		if before {
			before = false
			assert.NoError(t, s.agents[0].client.Send(t.Context()), "the agent is there yet")
		}
	}
	require.NoError(t, s.Close(t.Context()))
	assert.False(t, before)
}

// What stays after a kill is said as it is at that time: it removes itself only once the pod runs that does it, and after Close it is nothing.
func TestLeaves(t *testing.T) {
	for name, c := range map[string]struct {
		pod    func(*corev1.Pod)
		create error
		want   []string
	}{
		"as usual": {nothing, nil, []string{"namespace NAME, whose pods end by themselves: kubectl delete namespace NAME", "namespace NAME, which removes itself after 15m0s", "nothing"}},
		"expiry is late": {func(p *corev1.Pod) {
			p.Status.Phase = map[bool]corev1.PodPhase{true: corev1.PodPending, false: corev1.PodRunning}[p.Name == expiry]
		}, nil, []string{"namespace NAME, whose pods end by themselves: kubectl delete namespace NAME", "nothing"}},
		"nothing is made": {nothing, apierrors.NewBadRequest("no"), []string{"namespace NAME, whose pods end by themselves: kubectl delete namespace NAME", "nothing"}},
	} {
		t.Run(name, func(t *testing.T) {
			client := fakeCluster(c.pod)
			if c.create != nil {
				client.PrependReactor("create", "namespaces", func(kubetesting.Action) (bool, runtime.Object, error) { return true, nil, c.create })
			}
			o, _ := options(client, newAgents())
			var said []string
			o.OnLeaves = func(what string) {
				what = regexp.MustCompile("dsrlab-assess-[0-9a-f]{8}").ReplaceAllString(what, "NAME")
				if len(said) == 0 || said[len(said)-1] != what {
					said = append(said, what)
				}
			}
			s, err := Open(t.Context(), o)
			if c.create == nil {
				require.NoError(t, err)
				require.NoError(t, s.Close(t.Context()))
			}
			assert.Equal(t, c.want, said)
		})
	}
}
