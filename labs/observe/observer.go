package observe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// Observer reads the flows of all nodes that run our data path. Observers take nothing from each other: each sees all flows.
// It isn't safe for concurrent use.
type Observer struct {
	testbed *testbed.Testbed
	names   *dataplane.Names
	nodes   map[string]observedNode // by their names
	lost    uint64
}

// NewObserver begins with the oldest flows that the nodes keep. The caller closes it.
func NewObserver(tb *testbed.Testbed) (*Observer, error) {
	names, err := dataplane.LoadNames()
	if err != nil {
		return nil, err
	}
	o := &Observer{testbed: tb, names: names, nodes: make(map[string]observedNode)}
	if err := o.open(); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	if len(o.nodes) == 0 {
		return nil, fmt.Errorf("observe %s: %w", tb.Network().Name(), dataplane.ErrNotLoaded)
	}
	return o, nil
}

// open begins with the nodes that have our data path and are not read yet.
func (o *Observer) open() error {
	for _, n := range o.testbed.ClusterNodes() {
		if _, ok := o.nodes[n.Name]; ok {
			continue
		}
		observed, err := observeNode(o.testbed, n.Name)
		if errors.Is(err, dataplane.ErrNotLoaded) {
			continue
		}
		if err != nil {
			return err
		}
		o.nodes[n.Name] = observed
	}
	return nil
}

// observeNode reads a node's events from the oldest on. The caller closes it.
func observeNode(tb *testbed.Testbed, node string) (observedNode, error) {
	d, err := tb.OpenDataPath(node)
	if err != nil {
		return observedNode{}, err
	}
	r, err := d.NewEventReader()
	if err != nil {
		return observedNode{}, errors.Join(err, d.Close())
	}
	return observedNode{d, r}, nil
}

// observedNode is what is read of a node.
type observedNode struct {
	path   *dataplane.DataPath
	reader *dataplane.EventReader
}

func (n observedNode) close() error { return errors.Join(n.reader.Close(), n.path.Close()) }

// Close releases what the observer holds.
func (o *Observer) Close() error {
	var errs []error
	for _, n := range o.nodes {
		errs = append(errs, n.close())
	}
	clear(o.nodes)
	return errors.Join(errs...)
}

// Skip passes over all flows up to now.
func (o *Observer) Skip() {
	for _, n := range o.nodes {
		n.reader.Skip()
	}
}

// Lost is how many flows were overwritten before the observer read them.
func (o *Observer) Lost() uint64 { return o.lost }

// Latest returns the newest flows since the last call, at most so many, in the order of their times, and how many older ones were left
// out. The time that it takes is bounded, too.
func (o *Observer) Latest(most int) (flows []Flow, left uint64, err error) {
	lost := o.lost
	for _, n := range o.nodes {
		left += n.reader.SkipTo(uint64(most))
	}
	if flows, err = o.Flows(Filter{}); err != nil {
		return nil, 0, err
	}
	more := max(0, len(flows)-most)
	return flows[more:], left + uint64(more) + o.lost - lost, nil
}

// Flows are those since the last call that the filter chooses, in the order of their times.
func (o *Observer) Flows(filter Filter) ([]Flow, error) {
	var flows []Flow
	for node, n := range o.nodes {
		lost, err := n.reader.Read(func(e dataplane.Event) error {
			if flow := newFlow(o.testbed.Plan(), node, e, o.names); filter.Match(flow) {
				flows = append(flows, flow)
			}
			return nil
		})
		o.lost += lost
		if err != nil {
			return nil, fmt.Errorf("observe node %s: %w", node, err)
		}
	}
	slices.SortStableFunc(flows, func(a, b Flow) int { return a.Time.Compare(b.Time) })
	return flows, nil
}

const (
	observeEvery = 20 * time.Millisecond // short for people, and next to nothing for the machine
	reopenEvery  = time.Second
)

// Options say which flows Flows hands over.
type Options struct {
	Filter Filter
	// Last is how many of the newest flows that were there before come first; negative for all that are kept.
	Last int
	// Follow goes on with flows as they come.
	Follow bool
	// Ready is called when all flows from now on will be seen; may be nil.
	Ready func()
}

// Flows hands flows of all nodes that run our data path to handle, one call at a time, and returns how many were overwritten before
// they could be read. With Follow it goes on until ctx ends, also over a data path that replaces this one.
func Flows(ctx context.Context, tb *testbed.Testbed, options Options, handle func(Flow) error) (lost uint64, err error) {
	if err := options.Filter.Check(tb.Plan()); err != nil {
		return 0, err
	}
	o, err := NewObserver(tb)
	if err != nil {
		return 0, err
	}
	defer func() { lost, err = o.Lost(), errors.Join(err, o.Close()) }()
	if options.Last == 0 {
		o.Skip()
	}
	if options.Ready != nil {
		options.Ready()
	}
	flows, err := o.Flows(options.Filter)
	if err != nil {
		return 0, err
	}
	if options.Last > 0 {
		flows = flows[max(0, len(flows)-options.Last):]
	}
	for _, flow := range flows {
		if err := handle(flow); err != nil {
			return 0, err
		}
	}
	if !options.Follow {
		return 0, nil
	}
	return 0, o.follow(ctx, options.Filter, handle)
}

func (o *Observer) follow(ctx context.Context, filter Filter, handle func(Flow) error) error {
	poll, reopen := time.NewTicker(observeEvery), time.NewTicker(reopenEvery)
	defer poll.Stop()
	defer reopen.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-reopen.C:
			if err := o.Reopen(); err != nil {
				return err
			}
		case <-poll.C:
		}
		flows, err := o.Flows(filter)
		if err != nil {
			return err
		}
		for _, flow := range flows {
			if err := handle(flow); err != nil {
				return err
			}
		}
	}
}

// Reopen goes on with the data path of nodes where it was replaced, and begins with nodes that have one now. Those of others are read on
// from where they were. It fails once the testbed was taken down.
func (o *Observer) Reopen() error {
	for node, n := range o.nodes {
		if n.path.Pinned() {
			continue
		}
		delete(o.nodes, node)
		if err := n.close(); err != nil {
			return fmt.Errorf("observe node %s: %w", node, err)
		}
	}
	network := o.testbed.Network()
	if len(o.nodes) == 0 {
		if _, err := netns.Open(network.StateDir(), network.Name()); errors.Is(err, netns.ErrNotFound) {
			return fmt.Errorf("observe: testbed %s was taken down", network.Name())
		}
	}
	_ = o.open() // of what is being replaced at this moment; the next call tries again
	return nil
}

// openDataPaths opens our data path on every node that has it, by the node's name. The caller closes them, after an error too.
func openDataPaths(tb *testbed.Testbed) (map[string]*dataplane.DataPath, error) {
	paths := make(map[string]*dataplane.DataPath)
	for _, n := range tb.ClusterNodes() {
		d, err := tb.OpenDataPath(n.Name)
		if errors.Is(err, dataplane.ErrNotLoaded) {
			continue
		}
		if err != nil {
			return paths, err
		}
		paths[n.Name] = d
	}
	if len(paths) == 0 {
		return paths, fmt.Errorf("observe %s: %w", tb.Network().Name(), dataplane.ErrNotLoaded)
	}
	return paths, nil
}
