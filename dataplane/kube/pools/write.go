package pools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

const (
	settle = 20 * time.Millisecond // for how long changes are gathered
	retry  = time.Second           // after an error, another's write among them
)

// writer is the elected agent at work.
type writer struct {
	options  Options
	recorder record.EventRecorder
	lister   listers.ServiceLister
	writing  *sync.Mutex // held while status is written: the Lease is not given back then
	ended    <-chan struct{}
	own      map[string]ownWrite // by namespace/name
	told     map[services.Problem]bool
}

// ownWrite is what the lister may not know yet: it still has before.
type ownWrite struct{ before, after *corev1.Service }

func (w *writer) run(ctx context.Context) {
	w.own, w.told = map[string]ownWrite{}, map[services.Problem]bool{}
	factory := informers.NewSharedInformerFactory(w.options.Client, 0)
	informer := factory.Core().V1().Services()
	w.lister = informer.Lister()
	changed := make(chan struct{}, 1)
	poke := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	if _, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { poke() }, UpdateFunc: func(any, any) { poke() }, DeleteFunc: func(any) { poke() },
	}); err != nil {
		w.options.Log.Error("give out addresses", "error", err)
		return
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	if !cache.WaitForCacheSync(ctx.Done(), informer.Informer().HasSynced) {
		return
	}
	poke()
	for wait := settle; ; {
		select {
		case <-ctx.Done():
			return
		case <-w.ended:
			return
		case <-changed:
		}
		time.Sleep(wait)
		wait = settle
		if err := w.sync(ctx); err != nil {
			w.options.Log.Warn("give out addresses", "error", err)
			wait = retry
			poke()
		}
	}
}

// sync writes what is not written yet.
func (w *writer) sync(ctx context.Context) error {
	w.writing.Lock()
	defer w.writing.Unlock()
	select {
	case <-w.ended:
		return nil
	default:
	}
	known, err := w.lister.List(labels.Everything())
	if err != nil {
		return err
	}
	all, byName := w.current(known), map[string]*corev1.Service{}
	for _, s := range all {
		byName["service "+nameOf(s)] = s
	}
	assignments, problems := Assign(all, w.options.Pools)
	err = w.writeAll(ctx, assignments)
	w.tell(problems, byName)
	return err
}

// current are services as they are with what was written last.
func (w *writer) current(known []*corev1.Service) []*corev1.Service {
	all, own := make([]*corev1.Service, 0, len(known)), map[string]ownWrite{}
	for _, s := range known {
		if o, ok := w.own[nameOf(s)]; ok && o.before == s {
			own[nameOf(s)] = o
			s = o.after
		}
		all = append(all, s)
	}
	w.own = own
	return all
}

// writeAll takes addresses away before others get them, so that at no time two services have one.
func (w *writer) writeAll(ctx context.Context, assignments []Assignment) error {
	var errs []error
	kept := map[string]bool{} // addresses that could not be taken away
	after := map[string]*corev1.Service{}
	for _, a := range withdrawals(assignments) {
		s, err := w.write(ctx, a)
		if err != nil {
			errs = append(errs, err)
			for _, ingress := range a.Service.Status.LoadBalancer.Ingress {
				kept[ingress.IP] = true
			}
			continue
		}
		after[nameOf(s)] = s
	}
	for _, a := range assignments {
		if s := after[nameOf(a.Service)]; s != nil {
			a.Service = s
		}
		if a.Written() || slices.ContainsFunc(a.Ingress, func(i corev1.LoadBalancerIngress) bool { return kept[i.IP] }) {
			continue
		}
		_, err := w.write(ctx, a)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// withdrawals leave services what they have without what is another's from now on.
func withdrawals(assignments []Assignment) []Assignment {
	next := map[string]string{}
	for _, a := range assignments {
		for _, ingress := range a.Ingress {
			next[ingress.IP] = nameOf(a.Service)
		}
	}
	var all []Assignment
	for _, a := range assignments {
		have := a.Service.Status.LoadBalancer.Ingress
		left := slices.DeleteFunc(slices.Clone(have), func(i corev1.LoadBalancerIngress) bool {
			return next[i.IP] != "" && next[i.IP] != nameOf(a.Service)
		})
		if len(left) < len(have) {
			all = append(all, Assignment{a.Service, left})
		}
	}
	return all
}

// write fails where someone has changed the service in between.
func (w *writer) write(ctx context.Context, a Assignment) (*corev1.Service, error) {
	s := a.Service
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": s.ResourceVersion},
		"status":   map[string]any{"loadBalancer": map[string]any{"ingress": a.Ingress}},
	})
	if err != nil {
		return nil, err
	}
	after, err := w.options.Client.CoreV1().Services(s.Namespace).Patch(ctx, s.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil {
		return nil, fmt.Errorf("write status of service %s: %w", nameOf(s), err)
	}
	before := s
	if o, ok := w.own[nameOf(s)]; ok {
		before = o.before
	}
	w.own[nameOf(s)] = ownWrite{before, after}
	var given []string
	for _, ingress := range a.Ingress {
		given = append(given, ingress.IP)
	}
	w.options.Log.Info("addresses", "service", nameOf(s), "given", given)
	return after, nil
}

// tell says what is new among problems: in the log, and as an Event of the service.
func (w *writer) tell(problems []services.Problem, byName map[string]*corev1.Service) {
	now := map[services.Problem]bool{}
	for _, p := range problems {
		if now[p] = true; w.told[p] {
			continue
		}
		w.options.Log.Warn("object", "problem", p.Error())
		if s := byName[p.Object]; s != nil {
			w.recorder.Event(s, corev1.EventTypeWarning, "NoAddress", p.Error())
		}
	}
	w.told = now
}
