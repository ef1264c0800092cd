package labs

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/topologies"
)

// Sweep repeats a phase for each queue, or each burst, of a node's link, and for each number of pods; for each pair of them where it has
// both.
type Sweep struct {
	// Node is the one whose link is swept, in both directions.
	Node string `json:"node,omitempty"`
	// Limit is what the link does with frames over its rate while the sweep runs (default: what the topology says): shape with queue, police
	// with burst.
	Limit topologies.Limit `json:"limit,omitempty"`
	// Queue sizes of a shaped link in bytes, each a label of the samples.
	Queue []topologies.Size `json:"queue,omitempty"`
	// Burst sizes of a policed link in bytes, each a label of the samples.
	Burst []topologies.Size `json:"burst,omitempty"`
	// Pods are how many are ready, the first of the topology's; each a label of the samples.
	Pods []int `json:"pods,omitempty"`
}

func (s *Sweep) validate() []error {
	if s == nil {
		return nil
	}
	var errs []error
	link := len(s.Queue) + len(s.Burst)
	if link+len(s.Pods) == 0 {
		errs = append(errs, errors.New("sweep: want queue, burst or pods"))
	}
	if len(s.Queue) > 0 && len(s.Burst) > 0 {
		errs = append(errs, errors.New("sweep: want queue or burst, not both: a shaped link has a queue, a policed one has none"))
	}
	if (link == 0) != (s.Node == "") {
		errs = append(errs, errors.New("sweep: want node with queue or burst, and only with them"))
	}
	want := topologies.Limit("")
	switch {
	case len(s.Queue) > 0:
		want = topologies.LimitShape
	case len(s.Burst) > 0:
		want = topologies.LimitPolice
	}
	if s.Limit != want && (s.Limit != "" || want == topologies.LimitPolice) {
		errs = append(errs, fmt.Errorf("sweep.limit: found %q (want shape with queue, police with burst)", s.Limit))
	}
	return errs
}

// setting is one value of a sweep, or a pair of them.
type setting struct {
	labels       map[string]string
	queue, burst topologies.Size // 0: as it is
	pods         int             // 0: all
}

// settings returns all values of a sweep, those of the link one after the other for each number of pods; of none, the one that changes nothing.
func (s *Sweep) settings() []setting {
	if s == nil {
		return []setting{{}}
	}
	links := []setting{{}}
	if len(s.Queue)+len(s.Burst) > 0 {
		links = nil
	}
	for _, queue := range s.Queue {
		links = append(links, setting{labels: map[string]string{"queue": queue.String()}, queue: queue})
	}
	for _, burst := range s.Burst {
		labels := map[string]string{"limit": string(topologies.LimitPolice), "burst": burst.String()}
		links = append(links, setting{labels: labels, burst: burst})
	}
	if len(s.Pods) == 0 {
		return links
	}
	var all []setting
	for _, pods := range s.Pods {
		for _, link := range links {
			labels := map[string]string{"pods": strconv.Itoa(pods)}
			maps.Copy(labels, link.labels)
			all = append(all, setting{labels: labels, queue: link.queue, burst: link.burst, pods: pods})
		}
	}
	return all
}

// variant returns v under the setting.
func (s setting) variant(v testbed.Variant, plan *topologies.Plan) testbed.Variant {
	if s.pods == 0 {
		return v
	}
	v.Pods = nil
	for _, p := range plan.Pods[:min(s.pods, len(plan.Pods))] {
		v.Pods = append(v.Pods, p.Name)
	}
	return v
}

// reshape sets the swept link's queue or burst on the run's testbed, and returns a function that restores its own.
func (s *Sweep) reshape(r *trial.Run, value setting) (restore func() error, err error) {
	if value.queue == 0 && value.burst == 0 {
		return func() error { return nil }, nil
	}
	nodes := r.Plan.Nodes
	i := slices.IndexFunc(nodes, func(n topologies.Node) bool { return n.Name == s.Node })
	if i < 0 {
		return nil, fmt.Errorf("sweep: no node %s", s.Node)
	}
	n := nodes[i]
	toNode, fromNode := value.shape(n.ToNode), value.shape(n.FromNode)
	if err := r.Testbed.Network().Reshape(n.Name, toNode, fromNode); err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	return func() error { return r.Testbed.Network().Reshape(n.Name, n.ToNode, n.FromNode) }, nil
}

// shape returns the limits of one direction of the swept link under the setting.
func (s setting) shape(as topologies.Shape) topologies.Shape {
	if s.burst > 0 {
		as.Limit, as.Burst, as.Queue = topologies.LimitPolice, s.burst, 0
	} else {
		as.Limit, as.Queue = topologies.LimitShape, s.queue
	}
	return as
}
