package kube

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// Event is an object that is new, has changed, or has gone. Its fields tell: one of them is set.
type Event struct {
	Service *corev1.Service
	Slice   *discoveryv1.EndpointSlice
	Node    *corev1.Node
	Gone    bool
	// Synced says that all objects there are have been told once.
	Synced bool
}

// queueLength is how many events wait while the data path is being changed; informers wait beyond that.
const queueLength = 4096

// Watch tells of all objects of a cluster until ctx ends, however often the API server goes and comes back. It begins whether or
// not the server can be reached. After the first full list comes an event that is nothing but Synced.
func Watch(ctx context.Context, client kubernetes.Interface) (<-chan Event, error) {
	events := make(chan Event, queueLength)
	send := func(e Event) {
		select {
		case events <- e:
		case <-ctx.Done():
		}
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(stripUnused))
	var synced []cache.InformerSynced
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().Services().Informer(), factory.Core().V1().Nodes().Informer(),
		factory.Discovery().V1().EndpointSlices().Informer(),
	} {
		registered, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(object any) { send(eventOf(object, false)) },
			UpdateFunc: func(_, object any) { send(eventOf(object, false)) },
			DeleteFunc: func(object any) { send(eventOf(object, true)) },
		})
		if err != nil {
			return nil, fmt.Errorf("watch cluster: %w", err)
		}
		synced = append(synced, registered.HasSynced)
	}
	factory.Start(ctx.Done())
	go func() {
		if cache.WaitForCacheSync(ctx.Done(), synced...) {
			send(Event{Synced: true})
		}
	}()
	return events, nil
}

// stripUnused forgets what the agent never reads.
func stripUnused(object any) (any, error) {
	if o, ok := object.(metav1.Object); ok {
		o.SetManagedFields(nil)
	}
	if n, ok := object.(*corev1.Node); ok {
		n.Status.Images = nil
		n.Status.Conditions = nil
	}
	return object, nil
}

// eventOf tells objects apart; one whose deletion was missed comes wrapped.
func eventOf(object any, gone bool) Event {
	if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = unknown.Obj
	}
	switch o := object.(type) {
	case *corev1.Service:
		return Event{Service: o, Gone: gone}
	case *discoveryv1.EndpointSlice:
		return Event{Slice: o, Gone: gone}
	case *corev1.Node:
		return Event{Node: o, Gone: gone}
	}
	return Event{}
}

// settle is for how long events are gathered before the data path is changed, so that the many of one rollout make few changes.
const settle = 10 * time.Millisecond
