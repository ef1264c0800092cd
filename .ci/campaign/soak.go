package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dsrlab/dsrlab/labs/edge"
)

// runSoak lets connections run for a long time, while what operators do to a cluster is done again and again.
func runSoak(ctx context.Context, o *options, r *report) (err error) {
	s, err := newTarget(ctx, o, "soak")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.down()) }()
	c := &chaos{target: s, options: o, random: o.random(), out: o.progress}
	t, err := s.traffic(ctx, lasting, openers)
	if err != nil {
		return err
	}
	changes, err := c.soak(ctx, t, time.Now().Add(o.duration))
	if err == nil {
		err = t.settle(ctx)
	}
	tried, failed, reasons := t.stop()
	for _, reason := range reasons {
		o.say("  %s", reason)
	}
	r.add(outcome{
		Case: fmt.Sprintf("%s of traffic and %d changes", o.duration, changes), Tried: tried, Unit: "connections", Failed: failed,
		Seen: fmt.Sprintf("%d exchanges, each answer checked", t.exchanges.Load()),
		Why:  "pods are drained before they go, LB nodes select alike, tables and programs are replaced whole",
	})
	return err
}

// soak makes changes until the time, and returns how many.
func (c *chaos) soak(ctx context.Context, t *traffic, until time.Time) (changes int, err error) {
	for ; time.Now().Before(until) && ctx.Err() == nil; changes++ {
		switch c.random.IntN(4) {
		case 0:
			err = c.drainAndReturn(ctx, t)
		case 1:
			lbs := c.LBNodes()
			node := lbs[c.random.IntN(len(lbs))].Name
			err = errors.Join(edge.FailNode(ctx, c.Testbed, node, outage/4), t.settle(ctx), edge.RestartNode(ctx, c.Testbed, node, c.variant))
		case 2:
			slices := cloneSlices(c.Plan().EndpointSlices)
			flip(slices, c.random.Perm(flippable)[:2])
			err = c.SetEndpoints(ctx, c.variant, slices)
		default:
			wait(ctx, time.Second)
		}
		if err == nil {
			err = t.settle(ctx)
		}
		if err != nil {
			return changes, err
		}
	}
	return changes, ctx.Err()
}

// drainAndReturn takes new connections away from a pod for a while.
func (c *chaos) drainAndReturn(ctx context.Context, t *traffic) error {
	pod := c.Plan().Pods[c.random.IntN(len(c.Plan().Pods))].Name
	return errors.Join(c.SetDraining(ctx, c.variant, pod, true), t.settle(ctx), c.SetDraining(ctx, c.variant, pod, false))
}
