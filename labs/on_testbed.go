package labs

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/dsrlab/dsrlab/labs/proxies"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// onTestbed runs a lab's trials on a testbed that is built for the run (Substrate). What is different between network namespaces and
// kind is the testbed's own concern.
type onTestbed struct {
	session *Session
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
	proxied, err := o.session.runner.checkProxies(o.session.lab)
	if err != nil {
		return err
	}
	for _, v := range o.session.lab.Spec.Variants {
		if err := testbed.Check(o.session.planned, v); err != nil {
			return fmt.Errorf("variant %s: %w", v.Name, err)
		}
	}
	options := o.session.runner.Testbed
	options.Name = TestbedName(o.session.planned.Name)
	options.Recreate = true
	o.lock, err = netns.Acquire(ctx, cmp.Or(options.StateDir, netns.DefaultStateDir), options.Name, o.session.runner.Waiting)
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
	o.session.shared.Testbed, o.session.shared.Plan = built, built.Plan()
	r.Built(built.Plan())
	err = r.Describe("scheduled", how)
	if proxied {
		err = errors.Join(err, r.Describe("proxy", proxies.Version(o.session.runner.engine())))
	}
	if err == nil {
		err = o.session.fitToMachine(ctx)
	}
	if err != nil {
		return errors.Join(err, o.Close(context.WithoutCancel(ctx)))
	}
	return nil
}

// Run installs the variant's data path and runs the steps, while captures and meters watch.
func (o *onTestbed) Run(ctx context.Context, t *Trial, r *Report) error {
	err := o.session.shared.Recalibrate(ctx)
	if err != nil {
		err = fmt.Errorf("calibrate again: %w", err)
	} else {
		err = o.run(ctx, t, r.trial)
	}
	if err != nil {
		if gone := o.session.shared.Testbed.Network().Intact(); gone != nil {
			return gone // all else comes of it
		}
	}
	return err
}

// Close takes the testbed down.
func (o *onTestbed) Close(ctx context.Context) error {
	defer o.lock.Release()
	defer o.restorePriority()
	return o.session.shared.Testbed.Down(ctx)
}

// run runs the trial's steps, with the queue or burst of its sweep.
func (o *onTestbed) run(ctx context.Context, t *Trial, attempt *trial.Attempt) error {
	restore, err := t.Phase.Sweep.reshape(attempt.Run, t.value)
	if err != nil {
		return err
	}
	err = attempt.Perform(ctx, t.Phase.Capture, func() error {
		for i := range t.Phase.Steps {
			if err := t.Phase.Steps[i].Run(ctx, attempt); err != nil {
				return fmt.Errorf("step %d: %w", i+1, err)
			}
		}
		return nil
	})
	return errors.Join(err, restore())
}
