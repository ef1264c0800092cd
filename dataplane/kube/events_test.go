package kube

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

var (
	ofService = services.Problem{Object: "service shop/web", Field: "spec.ports[0]", What: "can't be served", Want: "use another one"}
	ofSlice   = services.Problem{Object: "endpointslice shop/web-1", Field: "endpoints", What: "are outside", Want: "use pods"}
	ofNode    = services.Problem{Object: "node n1", Field: "sizes.nodes", What: "no room", Want: "raise it"}
	ofPod     = services.Problem{Object: "pod [10.0.0.1]", Field: "sizes.pods", What: "no room", Want: "raise it"}
)

// Of the same problems all nodes write one Event each, at the object; what is no object of the cluster's is in the log.
func TestReportersWriteOneEvent(t *testing.T) {
	client := fake.NewClientset()
	known := objects{}
	known.take(Event{Service: &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u1"}}})
	var log bytes.Buffer
	for _, node := range []string{"n1", "n2", "n3"} {
		r := newReporter(Options{Node: node, Client: client, Log: slog.New(slog.NewTextHandler(&log, nil))})
		for range 3 {
			r.tell([]services.Problem{ofService, ofSlice, ofNode, ofPod}, known)
		}
		require.Eventually(t, func() bool { return len(r.waiting) == 0 }, time.Minute, time.Millisecond)
		r.close()
	}
	list, err := client.EventsV1().Events("").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, list.Items, 3)
	for _, e := range list.Items {
		assert.Equal(t, "n1", e.ReportingInstance)
		assert.Equal(t, corev1.EventTypeWarning, e.Type)
		switch e.Regarding.Kind {
		case "Service":
			assert.Equal(t, corev1.ObjectReference{APIVersion: "v1", Kind: "Service", Namespace: "shop", Name: "web", UID: "u1"}, e.Regarding)
			assert.Equal(t, "shop", e.Namespace)
			assert.Equal(t, "spec.ports[0]: can't be served; use another one", e.Note)
		case "EndpointSlice":
			assert.Equal(t, corev1.ObjectReference{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice", Namespace: "shop", Name: "web-1"}, e.Regarding)
		default:
			assert.Equal(t, corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: "n1"}, e.Regarding)
			assert.Equal(t, "default", e.Namespace)
		}
	}
	assert.Equal(t, 3*4, strings.Count(log.String(), "msg=object problem="), "each once by each node, all of them")
}

// More problems than are waited for are written later; what is solved and comes again is told again.
func TestReporterTriesAgain(t *testing.T) {
	var log bytes.Buffer
	var client kubernetes.Interface = fake.NewClientset()
	ctx, stop := context.WithCancel(t.Context())
	r := &reporter{
		log: slog.New(slog.NewTextHandler(&log, nil)), client: client, stop: stop, done: make(chan struct{}),
		told: map[services.Problem]time.Time{}, waiting: make(chan *eventsv1.Event, 1),
	}
	r.tell([]services.Problem{ofService, ofSlice}, objects{})
	assert.False(t, r.told[ofService].IsZero())
	assert.True(t, r.told[ofSlice].IsZero(), "it is not written yet")
	<-r.waiting
	r.tell([]services.Problem{ofService, ofSlice}, objects{})
	assert.False(t, r.told[ofSlice].IsZero())
	assert.Equal(t, 2, strings.Count(log.String(), "msg=object"))
	r.tell(nil, objects{})
	assert.Empty(t, r.told)
	go r.run(ctx)
	r.close()
}

func TestEventsOfLongNames(t *testing.T) {
	p := services.Problem{Object: "node " + strings.Repeat("n", 199) + "." + strings.Repeat("m", 50), What: strings.Repeat("ü", 2000)}
	e := eventOfProblem(p, object{}, "n1", time.Now())
	assert.Len(t, e.Name, 199+17)
	assert.LessOrEqual(t, len(e.Note), noteLength)
	assert.Equal(t, e.Name, eventOfProblem(p, object{}, "n2", time.Now()).Name)
	p.Want = "other"
	assert.NotEqual(t, e.Name, eventOfProblem(p, object{}, "n1", time.Now()).Name)
	assert.Nil(t, eventOfProblem(services.Problem{Object: "options"}, object{}, "n1", time.Now()))
}

// The oldest service gets room first, whatever its name, and among equally old ones the first by name.
func TestOlderFirst(t *testing.T) {
	o := objects{}
	for i, name := range []string{"c", "b", "a"} {
		created := metav1.NewTime(time.Unix(int64(1000*min(i, 1)), 0))
		o.take(Event{Service: &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: name, UID: types.UID(name), CreationTimestamp: created}}})
	}
	assert.Negative(t, o.olderFirst("x/c", "x/a"))
	assert.Positive(t, o.olderFirst("x/b", "x/a"))
	o.take(Event{Service: &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: "c"}}, Gone: true})
	assert.Len(t, o, 2)
}

// A map is warned of when it is 90 % full and when it is full, each once, and again only when there was room meanwhile.
func TestWarnFull(t *testing.T) {
	var log bytes.Buffer
	a := &Agent{options: Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, full: map[string]int{}}
	for _, step := range []struct{ used, warnings int }{{89, 0}, {90, 1}, {95, 1}, {100, 2}, {100, 2}, {95, 2}, {80, 2}, {91, 3}} {
		a.warnFull(dataplane.MapUsage{Name: "slots", Used: step.used, Capacity: 100})
		assert.Equal(t, step.warnings, strings.Count(log.String(), "level=WARN"), "after %d", step.used)
	}
	assert.Contains(t, log.String(), "map=slots entries=90 capacity=100 raise=sizes.slots")
}
