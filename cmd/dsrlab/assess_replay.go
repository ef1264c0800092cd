package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/assess/replay"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies/lockfile"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// assessedReplay is the load that assess predicts the gain for, and whether it is run, too.
type assessedReplay struct {
	profile string
	run     bool
}

func (a *assessedReplay) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.profile, "profile", "", "file of a load to predict the gain for, in place of that of the observations: requestsPerSecond, requestBytes, replyBytes, entry, pods")
	cmd.Flags().BoolVar(&a.run, "replay", false, "run the load on a testbed of the cluster's shape, too, under kube-proxy, snat and dsr, and compare with the prediction (root)")
}

// check finds out before anything is probed what would keep the load from being run.
func (a *assessedReplay) check() error {
	if a.profile != "" {
		if _, err := assess.ReadProfile(a.profile); err != nil {
			return usageError(fmt.Errorf("--profile: %w", err))
		}
	}
	if a.run {
		return requireRoot("replaying a load")
	}
	return nil
}

// diagnose makes a report, with the load's replay if it is asked for. If that fails there is a report all the same.
func (a *assessedReplay) diagnose(ctx context.Context, o *assess.Observations, site *assessedSite, s streams) (assess.Report, error) {
	if a.profile != "" {
		profile, err := assess.ReadProfile(a.profile)
		if err == nil {
			*o, err = o.WithProfile(profile)
		}
		if err != nil {
			return assess.Diagnose(*o), usageError(fmt.Errorf("--profile: %w", err))
		}
	}
	report := assess.Diagnose(*o)
	if !a.run {
		return report, nil
	}
	var err error
	if report.Replay, err = a.replay(ctx, *o, site, s); err != nil {
		return report, notReplayed(err)
	}
	return report, nil
}

// replay runs the load on a testbed of its own, while no other command measures on this machine.
func (a *assessedReplay) replay(ctx context.Context, o assess.Observations, site *assessedSite, s streams) (*assess.Replay, error) {
	shape, err := replay.ShapeOf(o, replay.OfCPUs(runtime.NumCPU()))
	if errors.Is(err, replay.ErrNoLoad) {
		return nil, usageError(fmt.Errorf("--replay: %w (want --profile FILE)", err))
	}
	if err != nil {
		return nil, err
	}
	endMeasuring, err := netns.AcquireMachine(ctx, site.wait.waiting(s))
	if err != nil {
		return nil, err
	}
	defer endMeasuring()
	lock, err := netns.Acquire(ctx, site.target.stateDir, replay.Name, site.wait.waiting(s))
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	if err := mustUndoReplay(ctx); err != nil {
		return nil, err
	}
	return replay.Run(ctx, shape, replay.Options{
		Testbed: testbed.Options{StateDir: site.target.stateDir, Lock: lock, Log: notices(s.err)},
		OnStep:  func(step string) { fmt.Fprintln(s.err, step) },
	})
}

// mustUndoReplay makes run wait until the testbed is removed, and tells what stays if it is kept from that.
func mustUndoReplay(ctx context.Context) error {
	if err := mustUndo(ctx); err != nil {
		return err
	}
	undoBy(ctx, "testbed "+replay.Name+": dsrlab down --name "+replay.Name)
	return nil
}

// notReplayed gives an error that kept a load from being run its exit code: never that of a verdict.
func notReplayed(err error) error {
	var exit *exitError
	var held *lockfile.HeldError
	if errors.As(err, &exit) || errors.As(err, &held) {
		return err
	}
	if err = upError(err); errors.As(err, &exit) {
		return err
	}
	return &exitError{exitUntested, err}
}
