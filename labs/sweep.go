package labs

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/dsrlab/dsrlab/labs/stand"
	"github.com/dsrlab/dsrlab/topologies"
)

// Sweep repeats a phase for each queue of a node's link, in both directions, or for each number of pods.
type Sweep struct {
	Node string `json:"node,omitempty"`
	// Queue sizes in bytes, each a label of the samples.
	Queue []topologies.Size `json:"queue,omitempty"`
	// Burst of the token bucket while the sweep runs.
	Burst topologies.Size `json:"burst,omitempty"`
	// Pods are how many are ready, the first of the topology's; each a label of the samples.
	Pods []int `json:"pods,omitempty"`
}

func (s *Sweep) validate() []error {
	if s == nil {
		return nil
	}
	var errs []error
	if (len(s.Queue) == 0) == (len(s.Pods) == 0) {
		errs = append(errs, errors.New("sweep: want either queue or pods"))
	}
	if (len(s.Queue) == 0) != (s.Node == "") {
		errs = append(errs, errors.New("sweep: want node with queue, and only with it"))
	}
	return errs
}

// setting is one value of a sweep.
type setting struct {
	labels map[string]string
	queue  topologies.Size // 0: as it is
	pods   int             // 0: all
}

// settings are all values of a sweep; of none, the one that changes nothing.
func (s *Sweep) settings() []setting {
	if s == nil {
		return []setting{{}}
	}
	var all []setting
	for _, queue := range s.Queue {
		all = append(all, setting{labels: map[string]string{"queue": queue.String()}, queue: queue})
	}
	for _, pods := range s.Pods {
		all = append(all, setting{labels: map[string]string{"pods": strconv.Itoa(pods)}, pods: pods})
	}
	return all
}

// variant is v under the setting.
func (s setting) variant(v stand.Variant, plan *topologies.Plan) stand.Variant {
	if s.pods == 0 {
		return v
	}
	v.Pods = nil
	for _, p := range plan.Pods[:min(s.pods, len(plan.Pods))] {
		v.Pods = append(v.Pods, p.Name)
	}
	return v
}

// reshape gives the swept link its queue, and returns what gives it back its own.
func (x *execution) reshape(s *Sweep, value setting) (restore func() error, err error) {
	if value.queue == 0 {
		return func() error { return nil }, nil
	}
	nodes := x.plan.Nodes
	i := slices.IndexFunc(nodes, func(n topologies.Node) bool { return n.Name == s.Node })
	if i < 0 {
		return nil, fmt.Errorf("sweep: no node %s", s.Node)
	}
	n := nodes[i]
	toNode, fromNode := n.ToNode, n.FromNode
	for _, shape := range []*topologies.Shape{&toNode, &fromNode} {
		shape.Queue, shape.Burst = value.queue, s.Burst
	}
	if err := x.stand.Lab().Reshape(n.Name, toNode, fromNode); err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	return func() error { return x.stand.Lab().Reshape(n.Name, n.ToNode, n.FromNode) }, nil
}
