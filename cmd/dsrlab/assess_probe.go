package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/assess/prober"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/lockfile"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// assessedSite is the running testbed that assess probes.
type assessedSite struct {
	target testbedTarget
	client string
	idle   time.Duration
	wait   waitFlag
}

func (a *assessedSite) flags(cmd *cobra.Command) {
	a.target.flags(cmd)
	a.wait.flag(cmd)
	cmd.Flags().StringVar(&a.client, "client", "", "name of the client to probe from (default: the first one)")
	cmd.Flags().DurationVar(&a.idle, "idle", time.Minute, "how long connections rest before they carry data again; 0: they do not rest")
}

// observe probes the testbed's network.
func (a *assessedSite) observe(ctx context.Context, s streams) (assess.Observations, error) {
	idle, err := a.rest()
	if err != nil {
		return assess.Observations{}, err
	}
	tb, release, err := a.acquire(ctx, s)
	if err != nil {
		return assess.Observations{}, notAssessed(err)
	}
	defer release()
	site, err := prober.OnTestbed(tb, a.client)
	if err != nil {
		return assess.Observations{}, notAssessed(err)
	}
	observed, err := prober.Observe(ctx, site, prober.Options{Idle: idle, OnStep: func(step string) { fmt.Fprintln(s.err, step) }})
	if err != nil {
		return assess.Observations{}, notAssessed(err)
	}
	return *observed, nil
}

// rest is how long connections rest.
func (a *assessedSite) rest() (time.Duration, error) {
	switch {
	case a.idle < 0:
		return 0, usageError(fmt.Errorf("--idle: found %v (want 0 or more)", a.idle))
	case a.idle == 0:
		return prober.NoIdle, nil
	}
	return a.idle, nil
}

// acquire attaches to the testbed, and keeps others from changing it and from measuring on the machine until release: the probes would
// disturb them, and be disturbed. The machine's lock comes first, as labs take them.
func (a *assessedSite) acquire(ctx context.Context, s streams) (tb *testbed.Testbed, release func(), err error) {
	if tb, err = a.attach(); err != nil {
		return nil, nil, err
	}
	endMeasuring, err := netns.AcquireMachine(ctx, a.wait.waiting(s))
	if err != nil {
		return nil, nil, err
	}
	lock, err := netns.Acquire(ctx, tb.Network().StateDir(), tb.Network().Name(), a.wait.waiting(s))
	if err != nil {
		endMeasuring()
		return nil, nil, err
	}
	release = func() { lock.Release(); endMeasuring() }
	if err = mustUndo(ctx); err == nil { // the locks' files
		a.target.name = tb.Network().Name()
		tb, err = a.attach() // who had the lock before may have changed it
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	return tb, release, nil
}

// attach attaches to the testbed, if it has the client.
func (a *assessedSite) attach() (*testbed.Testbed, error) {
	tb, err := a.target.attach()
	if err != nil {
		return nil, err
	}
	return tb, checkClient(tb.Plan(), a.client)
}

// checkClient refuses the name of a client that a plan doesn't have; an empty one is that of any client.
func checkClient(p *topologies.Plan, name string) error {
	var clients []string
	for _, n := range p.NodesOf(topologies.RoleClient) {
		if n.Name == name || name == "" {
			return nil
		}
		clients = append(clients, n.Name)
	}
	if len(clients) == 0 {
		return usageError(fmt.Errorf("topology %s has no client to probe from (want a node of role %s)", p.Name, topologies.RoleClient))
	}
	return usageError(fmt.Errorf("--client: unknown client %q (want %s)", name, anyOf(clients)))
}

// notAssessed gives an error that kept a network from being assessed its exit code: never that of a verdict.
func notAssessed(err error) error {
	var exit *exitError
	var held *lockfile.HeldError
	var xdp *prober.XDPError
	switch {
	case errors.As(err, &exit), errors.As(err, &held):
		return err
	case errors.As(err, &xdp):
		return usageError(fmt.Errorf("%w: `dsrlab up --hook tc`, with --file and --mode as before, installs the data path without one", err))
	}
	if err = upError(err); errors.As(err, &exit) {
		return err
	}
	return &exitError{exitUntested, err}
}
