package trial

import (
	"context"

	"github.com/dsrlab/dsrlab/labs/capture"
	"github.com/dsrlab/dsrlab/labs/edge"
	"github.com/dsrlab/dsrlab/labs/meter"
	"github.com/dsrlab/dsrlab/labs/obstacle"
)

// Perform puts the variant's data path on the nodes, and performs steps while meters, and captures at some nodes, watch.
func (t *Attempt) Perform(ctx context.Context, captureAt []string, steps func() error) error {
	if err := t.install(ctx); err != nil {
		return err
	}
	tables, err := t.Testbed.Tables(t.Variant)
	if err != nil {
		return err
	}
	t.replySources = capture.ReplySourcesOf(tables)
	return t.captured(ctx, captureAt, func() error { return t.metered(steps) })
}

// install puts the variant's data path on the nodes, and around them what belongs to it.
func (t *Attempt) install(ctx context.Context) error {
	// Obstacles of the variant before are removed first: a device with a large MTU takes no XDP program, and one of them is an edge, and takes
	// away whichever there is.
	if err := obstacle.Set(ctx, t.Testbed); err != nil {
		return err
	}
	if err := t.Testbed.Install(ctx, t.Variant); err != nil {
		return err
	}
	if err := edge.Set(ctx, t.Testbed, t.Variant.Edge); err != nil {
		return err
	}
	if err := edge.SetSpoofProtection(t.Testbed, t.Variant.SpoofProtection); err != nil || len(t.Variant.Obstacles) == 0 {
		return err
	}
	return obstacle.Set(ctx, t.Testbed, t.Variant.Obstacles...)
}

// metered counts the answers that cross the ports of LB nodes while f runs.
// Sample: lb_port_bytes_reply (B), in both directions together.
func (t *Attempt) metered(f func() error) error {
	defer func() {
		for _, m := range t.meters {
			m.Close()
		}
		t.meters = nil
	}()
	for _, n := range t.Testbed.LBNodes() {
		err := t.Testbed.Network().Do("fabric", func() error {
			m, err := meter.Open(n.Port, t.replySources.Sources())
			t.meters = append(t.meters, m)
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := f(); err != nil {
		return err
	}
	bytes, err := t.replyBytes()
	if err != nil {
		return err
	}
	return t.Sample("lb_port_bytes_reply", "B", float64(bytes), nil)
}

// replyBytes returns the bytes of answers that have crossed the LB nodes' ports in this trial, in both directions.
func (t *Attempt) replyBytes() (uint64, error) {
	var sum meter.Count
	for _, m := range t.meters {
		to, from, err := m.Read()
		if err != nil {
			return 0, err
		}
		sum = sum.Add(to).Add(from)
	}
	return sum.Bytes, nil
}
