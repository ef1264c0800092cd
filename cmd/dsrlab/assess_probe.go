package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/assess/prober"
)

// assessedSite is the running testbed that assess probes.
type assessedSite struct {
	target testbedTarget
	client string
	idle   time.Duration
}

func (a *assessedSite) flags(cmd *cobra.Command) {
	a.target.flags(cmd)
	cmd.Flags().StringVar(&a.client, "client", "", "name of the client to probe from (default: the first one)")
	cmd.Flags().DurationVar(&a.idle, "idle", time.Minute, "how long connections rest before they carry data again; 0: they do not rest")
}

// observe probes the testbed's network.
func (a *assessedSite) observe(ctx context.Context, s streams) (assess.Observations, error) {
	if a.idle < 0 {
		return assess.Observations{}, usageError(fmt.Errorf("--idle: found %v (want 0 or more)", a.idle))
	}
	tb, err := a.target.attach()
	if err != nil {
		return assess.Observations{}, err
	}
	site, err := prober.OnTestbed(tb, a.client)
	if err != nil {
		return assess.Observations{}, usageError(err)
	}
	idle := a.idle
	if idle == 0 {
		idle = prober.NoIdle
	}
	observed, err := prober.Observe(ctx, site, prober.Options{Idle: idle, OnStep: func(step string) { fmt.Fprintln(s.err, step) }})
	if err != nil {
		return assess.Observations{}, err
	}
	return *observed, nil
}
