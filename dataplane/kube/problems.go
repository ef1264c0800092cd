package kube

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// objects are what is known of the cluster's objects beside what they say, by services.Problem.Object.
type objects map[string]object

type object struct {
	uid     types.UID
	created time.Time
}

// take takes an event.
func (o objects) take(e Event) {
	switch {
	case e.Service != nil:
		o.put("service "+e.Service.Namespace+"/"+e.Service.Name, object{e.Service.UID, e.Service.CreationTimestamp.Time}, e.Gone)
	case e.Slice != nil:
		o.put("endpointslice "+e.Slice.Namespace+"/"+e.Slice.Name, object{e.Slice.UID, e.Slice.CreationTimestamp.Time}, e.Gone)
	case e.Node != nil:
		o.put("node "+e.Node.Name, object{e.Node.UID, e.Node.CreationTimestamp.Time}, e.Gone)
	}
}

func (o objects) put(name string, is object, gone bool) {
	if gone {
		delete(o, name)
		return
	}
	o[name] = is
}

// olderFirst orders services, given as namespace/name, as services.OlderFirst does.
func (o objects) olderFirst(a, b string) int {
	return cmp.Or(o["service "+a].created.Compare(o["service "+b].created), strings.Compare(a, b))
}

// report says what can't be served of the objects, and that maps become full.
func (a *Agent) report() {
	problems := slices.Concat(a.cluster.Problems(), a.refused)
	a.problems.tell(problems, a.objects)
	refused := map[string]bool{}
	for _, p := range problems {
		refused[p.Object] = true
	}
	a.status.refuses(len(refused))
	for _, u := range a.path.TableUsage() {
		a.warnFull(u)
	}
}

// warnFull logs that a map is 90 % full, and that it is full: once, until it is less full again.
func (a *Agent) warnFull(u dataplane.MapUsage) {
	const nearly, full = 90, 100
	level := 0
	switch percent := 100 * u.Used / max(u.Capacity, 1); {
	case percent >= full:
		level = full
	case percent >= nearly:
		level = nearly
	}
	if level > a.full[u.Name] {
		a.options.Log.Warn("a map of the data path is nearly full: what finds no room is refused",
			"map", u.Name, "entries", u.Used, "capacity", u.Capacity, "raise", u.Setting())
	}
	a.full[u.Name] = level
}

// tell logs what is new among all problems, and writes Events about them.
func (r *reporter) tell(all []services.Problem, known objects) {
	now := time.Now()
	told := make(map[services.Problem]time.Time, len(all))
	for _, p := range all {
		at, before := r.told[p]
		if !before {
			r.log.Warn("object", "problem", p.Error())
		}
		if now.Sub(at) > eventsAgain && r.write(p, known) {
			at = now
		}
		told[p] = at
	}
	r.told = told
}
