package kube

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

const (
	// reporterName is who writes the Events.
	reporterName = "dsrlab.dev/dsrd"
	// eventsAgain is how often an Event is written again: the API server forgets them after an hour by default.
	eventsAgain = 30 * time.Minute
	// eventsWaiting bounds those that are yet to be written; others are tried again with the next report.
	eventsWaiting = 64
	eventTimeout  = 10 * time.Second
	noteLength    = 1024 // bytes, of an Event's note (k8s.io/api/events/v1)
)

// reporter tells of problems of objects: in the log, and by Events at the objects. All nodes find the same problems, so an Event's name
// follows from its object and its text: whoever is first writes it, and the others find it written.
type reporter struct {
	log     *slog.Logger
	node    string
	client  kubernetes.Interface // nil: no Events
	told    map[services.Problem]time.Time
	waiting chan *eventsv1.Event
	stop    context.CancelFunc
	done    chan struct{}
}

func newReporter(o Options) *reporter {
	ctx, stop := context.WithCancel(context.Background())
	r := &reporter{
		log: o.Log, node: o.Node, client: o.Client, told: map[services.Problem]time.Time{},
		waiting: make(chan *eventsv1.Event, eventsWaiting), stop: stop, done: make(chan struct{}),
	}
	go r.run(ctx)
	return r
}

// close writes no more Events.
func (r *reporter) close() {
	r.stop()
	<-r.done
}

// run writes Events one by one; the client bounds how many a second.
func (r *reporter) run(ctx context.Context) {
	defer close(r.done)
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-r.waiting:
			once, cancel := context.WithTimeout(ctx, eventTimeout)
			_, err := r.client.EventsV1().Events(e.Namespace).Create(once, e, metav1.CreateOptions{})
			cancel()
			if err != nil && !apierrors.IsAlreadyExists(err) && ctx.Err() == nil {
				r.log.Warn("write event", "object", e.Regarding.Kind+" "+e.Regarding.Namespace+"/"+e.Regarding.Name, "error", err)
			}
		}
	}
}

// write hands an Event on to be written. It reports false if it is to be tried again.
func (r *reporter) write(p services.Problem, known objects) bool {
	if r.client == nil {
		return true
	}
	e := eventOfProblem(p, known[p.Object], r.node, time.Now())
	if e == nil {
		return true
	}
	select {
	case r.waiting <- e:
		return true
	default:
		return false
	}
}

// eventOfProblem is nil where the problem is of no object of the cluster's.
func eventOfProblem(p services.Problem, of object, node string, now time.Time) *eventsv1.Event {
	kind, name, _ := strings.Cut(p.Object, " ")
	regarding := corev1.ObjectReference{UID: of.uid}
	switch kind {
	case "service":
		regarding.APIVersion, regarding.Kind = "v1", "Service"
	case "endpointslice":
		regarding.APIVersion, regarding.Kind = "discovery.k8s.io/v1", "EndpointSlice"
	case "node":
		regarding.APIVersion, regarding.Kind, regarding.Name = "v1", "Node", name
	default:
		return nil
	}
	namespace := metav1.NamespaceDefault // of Events about what has none
	if regarding.Name == "" {
		regarding.Namespace, regarding.Name, _ = strings.Cut(name, "/")
		namespace = regarding.Namespace
	}
	note := fmt.Sprintf("%s: %s; %s", p.Field, p.What, p.Want)
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(kind + string(of.uid) + note)) // never fails
	if len(note) > noteLength {
		note = strings.ToValidUTF8(note[:noteLength], "")
	}
	return &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("%s.%016x", nameOf(regarding.Name), hash.Sum64())},
		EventTime:  metav1.NewMicroTime(now), ReportingController: reporterName, ReportingInstance: node[:min(len(node), 128)],
		Type: corev1.EventTypeWarning, Reason: "NotServed", Action: "Program", Note: note, Regarding: regarding,
	}
}

// nameOf leaves room behind a name, which has up to 253 bytes (RFC 1123).
func nameOf(name string) string { return strings.TrimRight(name[:min(len(name), 200)], "-.") }
