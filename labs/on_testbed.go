package labs

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/dsrlab/dsrlab/labs/capture"
	"github.com/dsrlab/dsrlab/labs/edge"
	"github.com/dsrlab/dsrlab/labs/meter"
	"github.com/dsrlab/dsrlab/labs/proxies"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// onTestbed runs a lab's trials on a testbed that is built for the run (Substrate). What is different between network namespaces and
// kind is the testbed's own concern.
type onTestbed struct {
	session *Session
	*execution
	// lock keeps the testbed from all others, from Open to Close.
	lock *netns.Lock
	// restorePriority undoes prioritize.
	restorePriority func()
}

var _ Substrate = (*onTestbed)(nil)

// TestbedName is the name of the testbed on which labs of a topology run. Each run builds it anew.
func TestbedName(topology string) string { return "lab-" + topology }

// Open builds the topology, and gives its links the rates that the machine carries.
func (o *onTestbed) Open(ctx context.Context, r *Report) error {
	proxied, err := o.runner.checkProxies(o.lab)
	if err != nil {
		return err
	}
	for _, v := range o.lab.Spec.Variants {
		if err := testbed.Check(o.session.planned, v); err != nil {
			return fmt.Errorf("variant %s: %w", v.Name, err)
		}
	}
	options := o.runner.Testbed
	options.Name = TestbedName(o.session.planned.Name)
	options.Recreate = true
	o.lock, err = netns.Acquire(ctx, cmp.Or(options.StateDir, netns.DefaultStateDir), options.Name, o.runner.Waiting)
	if err != nil {
		return err
	}
	options.Lock = o.lock
	restore, how := prioritize()
	o.restorePriority = restore
	built, _, err := testbed.Up(ctx, o.session.planned, options)
	if err != nil {
		restore()
		o.lock.Release()
		return err
	}
	o.testbed, o.plan = built, built.Plan()
	r.Built(o.plan)
	err = r.Describe("scheduled", how)
	if proxied {
		err = errors.Join(err, r.Describe("proxy", proxies.Version(o.runner.engine())))
	}
	if err == nil {
		err = o.session.fitToMachine(ctx, o.execution)
	}
	if err != nil {
		return errors.Join(err, o.Close(context.WithoutCancel(ctx)))
	}
	return nil
}

// Run installs the variant's data path and runs the steps, while captures and meters watch.
func (o *onTestbed) Run(ctx context.Context, _ *Trial, r *Report) error {
	err := o.recalibrate(ctx)
	if err != nil {
		err = fmt.Errorf("calibrate again: %w", err)
	} else {
		err = r.trial.reshaped(func() error { return r.trial.run(ctx) })
	}
	if err != nil {
		if gone := o.testbed.Network().Intact(); gone != nil {
			return gone // all else comes of it
		}
	}
	return err
}

// Close takes the testbed down.
func (o *onTestbed) Close(ctx context.Context) error {
	defer o.lock.Release()
	defer o.restorePriority()
	return o.testbed.Down(ctx)
}

// reshaped gives the swept link its queue while f runs.
func (t *trial) reshaped(f func() error) error {
	restore, err := t.reshape(t.phase.Sweep, t.value)
	if err != nil {
		return err
	}
	return errors.Join(f(), restore())
}

func (t *trial) run(ctx context.Context) error {
	if err := t.install(ctx); err != nil {
		return err
	}
	tables, err := t.testbed.Tables(t.variant)
	if err != nil {
		return err
	}
	t.replySources = capture.ReplySourcesOf(tables)
	return t.captured(ctx, func() error {
		return t.metered(func() error {
			for i := range t.phase.Steps {
				if err := t.step(ctx, &t.phase.Steps[i]); err != nil {
					return fmt.Errorf("step %d: %w", i+1, err)
				}
			}
			return nil
		})
	})
}

// install puts the variant's data path on the nodes, and around them what belongs to it.
func (t *trial) install(ctx context.Context) error {
	if err := t.testbed.Install(ctx, t.variant); err != nil {
		return err
	}
	if err := edge.Set(ctx, t.testbed, t.variant.Edge); err != nil {
		return err
	}
	return edge.SetSpoofProtection(t.testbed, t.variant.SpoofProtection)
}

// metered counts the answers that cross the ports of LB nodes while f runs.
// Sample: lb_port_bytes_reply (B), in both directions together.
func (t *trial) metered(f func() error) error {
	defer func() {
		for _, m := range t.meters {
			m.Close()
		}
		t.meters = nil
	}()
	for _, n := range t.testbed.LBNodes() {
		err := t.testbed.Network().Do("fabric", func() error {
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
	return t.sample("lb_port_bytes_reply", "B", float64(bytes), nil)
}

// replyBytes returns the bytes of answers that have crossed the LB nodes' ports in this trial, in both directions.
func (t *trial) replyBytes() (uint64, error) {
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
