package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/dsrlab/dsrlab/labs/edge"
	"github.com/dsrlab/dsrlab/labs/observe"
)

const (
	lasting = 40 // connections that last
	openers = 4  // clients that open one connection after the other
	// outage is how long what is gone stays so.
	outage = 2 * time.Second
)

// disaster is something that happens to a testbed under traffic.
type disaster struct {
	name, seen, why string
	// happen does it, and heals it. It returns how many connections may be lost.
	happen func(ctx context.Context, c *chaos, t *traffic) (bound int, err error)
}

// chaos is a testbed that serves, and what chooses the victims.
type chaos struct {
	*target
	options *options
	random  *rand.Rand
	out     io.Writer
	// detail is what a disaster adds to what is seen, and faults are what it found wrong, besides connections that are lost.
	detail string
	faults []string
}

// wrong notes something that is not as it should be.
func (c *chaos) wrong(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

func disasters() []disaster {
	return []disaster{
		{
			"link of a pod node down for 2 s", "connections to its pods stand still, and go on",
			"TCP retransmits for about 15 minutes before it gives up", linkDown,
		},
		{
			"LB node gone", "packets to it are lost until the router has noticed; then the other LB node goes on with all connections",
			"LB nodes select alike, and the pod node answers by itself", nodeGone,
		},
		{
			"backend gone", "its connections are reset, and new ones go to the others",
			"those that the backend had", backendGone,
		},
		{
			"node agent killed", "nothing: programs and tables stay in the kernel",
			"no process is in the packets' way", agentKilled,
		},
		{
			"table churn", "nothing", "each change is complete before it is seen, and touches its own service alone", tableChurn,
		},
		{
			"Geneve from addresses that are no node's, to a pod node", "nothing: the packets are dropped",
			"pod nodes take Geneve from nodes only", forgedSender,
		},
		{
			"a lab is stopped again and again while it measures", "what it measured meanwhile does not count: it ends untested",
			"a machine that stood still says nothing of a load balancer", labStopped,
		},
		{
			"map pressure: a flood of new flows, more than the tables hold", "nothing on connections that were answered before",
			"flows without an answer have a table of their own", mapPressure,
		},
		{
			"no reader of flow events", "nothing: the newest events replace the oldest", "programs never wait for a reader", noReader,
		},
		{
			"disk full while a lab runs", "the lab ends with an error that says so, and takes its testbed down", "the data path needs no disk", diskFull,
		},
	}
}

// runChaos lets each disaster happen to a testbed that serves.
func runChaos(ctx context.Context, o *options, r *report) (err error) {
	s, err := newTarget(ctx, o, "chaos")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.down()) }()
	c := &chaos{target: s, options: o, random: o.random(), out: o.progress}
	all := disasters()
	c.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, d := range all {
		if o.only != "" && !strings.Contains(d.name, o.only) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		o.say("chaos: %s", d.name)
		one, err := c.run(ctx, d)
		if err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
		r.add(one)
		for _, fault := range c.faults {
			r.problem("%s: %s", d.name, fault)
			o.say("  %s", fault)
		}
	}
	slices.SortStableFunc(r.Cases, func(a, b outcome) int { return strings.Compare(a.Case, b.Case) })
	return nil
}

// run lets one disaster happen under traffic.
func (c *chaos) run(ctx context.Context, d disaster) (outcome, error) {
	t, err := c.traffic(ctx, lasting, 0)
	if err != nil {
		return outcome{}, err
	}
	c.detail, c.faults = "", nil
	bound, err := d.happen(ctx, c, t)
	if err == nil {
		err = t.settle(ctx)
	}
	tried, failed, reasons := t.stop()
	if failed > bound {
		c.options.say("  %s", strings.Join(reasons, "\n  "))
	}
	return outcome{
		Case: d.name, Tried: tried, Unit: "connections", Failed: failed, Bound: bound, Seen: d.seen + c.detail, Why: d.why,
	}, err
}

func (c *chaos) pick(names []string) string { return names[c.random.IntN(len(names))] }

// podNodes are the nodes with pods.
func (c *chaos) podNodes() []string {
	var names []string
	for _, p := range c.Plan().Pods {
		if !slices.Contains(names, p.Node) {
			names = append(names, p.Node)
		}
	}
	return names
}

func linkDown(ctx context.Context, c *chaos, t *traffic) (int, error) {
	t.open(ctx, openers)
	node := c.pick(c.podNodes())
	if err := c.setPort(node, netlink.LinkSetDown); err != nil {
		return 0, err
	}
	wait(ctx, outage)
	return 0, c.setPort(node, netlink.LinkSetUp)
}

func nodeGone(ctx context.Context, c *chaos, t *traffic) (int, error) {
	t.open(ctx, openers)
	lbs := c.LBNodes()
	node := lbs[c.random.IntN(len(lbs))].Name
	if err := edge.FailNode(ctx, c.Testbed, node, outage/4); err != nil {
		return 0, err
	}
	if err := t.settle(ctx); err != nil {
		return 0, err
	}
	return 0, edge.RestartNode(ctx, c.Testbed, node, c.variant)
}

func backendGone(ctx context.Context, c *chaos, t *traffic) (int, error) {
	pod := c.Plan().Pods[c.random.IntN(len(c.Plan().Pods))].Name
	before := c.Plan().EndpointSlices
	bound := t.on(pod)
	c.servers[pod].kill()
	if err := c.SetEndpoints(ctx, c.variant, c.endpointsWithout(pod)); err != nil {
		return 0, err
	}
	t.open(ctx, openers)
	if err := t.settle(ctx); err != nil {
		return 0, err
	}
	return bound, errors.Join(c.serve(pod), c.SetEndpoints(ctx, c.variant, before))
}

func tableChurn(ctx context.Context, c *chaos, t *traffic) (int, error) {
	t.open(ctx, openers)
	const (
		rounds    = 20
		perRound  = 500
		perSecond = 1000
	)
	var lbs []string
	for _, n := range c.LBNodes() {
		lbs = append(lbs, n.Name)
	}
	// Each churned service always has an endpoint that is ready, so no request may find none.
	const noBackend, noLocalBackend = "no-backend", "no-local-backend"
	refused, err := c.countedOn(lbs, noBackend, noLocalBackend)
	if err != nil {
		return 0, err
	}
	done, called := make(chan struct{}), make(chan error, 1)
	sent, seed := 0, c.random.Uint64()
	go func() {
		var err error
		sent, err = c.callChurned(done, seed)
		called <- err
	}()
	before := c.Plan().EndpointSlices
	began, changes := time.Now(), 0
	for i := range rounds {
		slices := cloneSlices(c.Plan().EndpointSlices)
		changes += flip(slices, c.random.Perm(flippable)[:perRound])
		if err = c.SetEndpoints(ctx, c.variant, slices); err != nil {
			break
		}
		due := began.Add(time.Duration(i+1) * perRound * time.Second / perSecond)
		wait(ctx, time.Until(due))
	}
	rate := float64(changes) / time.Since(began).Seconds()
	close(done)
	if err := errors.Join(err, <-called); err != nil {
		return 0, err
	}
	now, err := c.countedOn(lbs, noBackend, noLocalBackend)
	if err != nil {
		return 0, err
	}
	if now != refused {
		c.wrong("%d of %d requests to services whose endpoints changed found no backend, though each service always has one", now-refused, sent)
	}
	c.detail = fmt.Sprintf(" (%d changes, %.0f/s on each of %d nodes; %d requests to the services that change)", changes, rate, len(c.ClusterNodes()), sent)
	return 0, c.SetEndpoints(ctx, c.variant, before)
}

func mapPressure(ctx context.Context, c *chaos, t *traffic) (int, error) {
	const tuples = 150_000 // more than the tables of answered and unanswered flows have room for
	if err := t.settle(ctx); err != nil {
		return 0, err
	}
	if err := flood(c.Testbed, "client", c.to.Addr(), tuples, c.random); err != nil {
		return 0, err
	}
	t.open(ctx, openers)
	c.detail = fmt.Sprintf(" (%d flows)", tuples)
	return 0, nil
}

func noReader(ctx context.Context, c *chaos, t *traffic) (int, error) {
	const tuples = 20_000 // more than events are kept
	early, err := observe.NewObserver(c.Testbed)
	if err != nil {
		return 0, err
	}
	defer early.Close()
	early.Skip()
	if err := flood(c.Testbed, "client", c.to.Addr(), tuples, c.random); err != nil {
		return 0, err
	}
	t.open(ctx, openers)
	if err := t.settle(ctx); err != nil {
		return 0, err
	}
	flows, err := early.Flows(observe.Filter{From: "client", To: c.to.String(), Reason: "to-overlay-dsr"})
	if err != nil {
		return 0, err
	}
	if len(flows) == 0 {
		return 0, errors.New("the newest flows are not among the events that are kept")
	}
	c.detail = fmt.Sprintf(" (%d of them unread)", early.Lost())
	return 0, nil
}

// wait returns after a time, or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
