package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/dsrlab/dsrlab/dataplane/kube/image"
	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/assess/prober"
	"github.com/dsrlab/dsrlab/labs/assess/remote"
	"github.com/dsrlab/dsrlab/labs/cluster"
)

// assessedCluster is the cluster that assess probes.
type assessedCluster struct {
	kubeconfig, context, image string
	ttl                        time.Duration
	maxNodes                   int
	withoutNetAdmin            bool
}

func (a *assessedCluster) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.kubeconfig, "kubeconfig", "", "probe the cluster that this file leads to, in place of a testbed; it is only read")
	cmd.Flags().StringVar(&a.context, "context", "", "probe the cluster of this context, of --kubeconfig, $KUBECONFIG or ~/.kube/config")
	cmd.Flags().StringVar(&a.image, "image", image.DefaultTag, "on a cluster, the image that the nodes' pods run; nodes must have it, or be able to pull it")
	cmd.Flags().DurationVar(&a.ttl, "ttl", 15*time.Minute, "on a cluster, how long what is made may be there at most, even if this process is killed")
	cmd.Flags().IntVar(&a.maxNodes, "max-nodes", 16, "on a cluster, how many nodes are probed at most, of as many zones and kinds as can be; 0: all")
	cmd.Flags().BoolVar(&a.withoutNetAdmin, "without-net-admin", false, "on a cluster, leave out the capability NET_ADMIN, and so what is read of the nodes' nf_tables rules")
}

// isMeant reports whether a cluster is meant, and no testbed. Flags that contradict each other are bad usage, also a TTL that ends before
// connections have rested.
func (a *assessedCluster) isMeant(cmd *cobra.Command, idle time.Duration) (bool, error) {
	if !cmd.Flags().Changed("kubeconfig") && !cmd.Flags().Changed("context") {
		return false, refuse(cmd, "only with --kubeconfig or --context", "image", "ttl", "max-nodes", "without-net-admin")
	}
	testbeds := []string{"from", "name", "client"}
	if !cmd.Flags().Changed("replay") { // whose testbed is somewhere, and may have to wait
		testbeds = append(testbeds, "state-dir", "wait")
	}
	if err := refuse(cmd, "not with --kubeconfig or --context, which name a cluster", testbeds...); err != nil {
		return true, err
	}
	if a.ttl < remote.LeastTTL || a.ttl%time.Second != 0 {
		return true, usageError(fmt.Errorf("--ttl: found %v (want whole seconds, %v or more)", a.ttl, remote.LeastTTL))
	}
	if least := (max(idle, 0) + remote.LeastTTL).Truncate(time.Second); a.ttl < least {
		return true, usageError(fmt.Errorf("--ttl: found %v (want %v or more with --idle %v)", a.ttl, least, max(idle, 0)))
	}
	if a.maxNodes < 0 {
		return true, usageError(fmt.Errorf("--max-nodes: found %d (want 0 or more)", a.maxNodes))
	}
	return true, nil
}

// observe probes the cluster's network, and removes what it has made for that. The error may be one of removing it: then there are
// observations, too.
func (a *assessedCluster) observe(ctx context.Context, idle time.Duration, s streams) (assess.Observations, error) {
	o, err := a.options(s)
	if err != nil {
		return assess.Observations{}, err
	}
	// What is made is there for the TTL from a time on that is later than this one.
	probing, cancel := context.WithTimeoutCause(ctx, a.ttl-remote.LeastTTL/2, fmt.Errorf("it was not done within --ttl, %v (want more)", a.ttl))
	defer cancel()
	session, err := a.open(probing, o)
	if err != nil {
		return assess.Observations{}, notAssessedCluster(err)
	}
	// Answers of agents take a way by the API server and back.
	const patience = 4 * time.Second
	observed, err := session.Observe(probing, prober.Options{Idle: idle, Patience: patience, OnStep: o.OnStep})
	removed := session.Close(context.WithoutCancel(ctx))
	if err != nil {
		return assess.Observations{}, notAssessedCluster(errors.Join(err, removed))
	}
	if removed != nil {
		removed = &exitError{exitUntested, removed}
	}
	return *observed, removed
}

func (a *assessedCluster) open(ctx context.Context, o remote.Options) (*remote.Session, error) {
	if err := mustUndo(ctx); err != nil {
		return nil, err
	}
	o.OnLeaves = func(what string) { undoBy(ctx, what) }
	o.OnLeaves("nothing")
	return remote.Open(ctx, o)
}

// options finds the cluster, and this machine as its client.
func (a *assessedCluster) options(s streams) (remote.Options, error) {
	config, name, err := cluster.Config(a.kubeconfig, a.context)
	if err != nil {
		return remote.Options{}, usageError(fmt.Errorf("--kubeconfig, --context: %w", err))
	}
	here, err := remote.ThisMachine()
	if err != nil {
		return remote.Options{}, unsupportedError(err)
	}
	bounded := rest.CopyConfig(config)
	bounded.Timeout = 30 * time.Second // of each call; what is attached to may last
	client, err := kubernetes.NewForConfig(bounded)
	if err != nil {
		return remote.Options{}, usageError(fmt.Errorf("--kubeconfig, --context: %w", err))
	}
	return remote.Options{
		Client: client, Attach: remote.AttachBy(client, config), Of: "cluster " + cmp.Or(name, config.Host), Image: a.image, TTL: a.ttl,
		MaxNodes: a.maxNodes, NetAdmin: !a.withoutNetAdmin, Here: here, OnStep: func(step string) { fmt.Fprintln(s.err, step) },
	}, nil
}

// notAssessedCluster gives an error that kept a cluster from being assessed its exit code: never that of a verdict.
func notAssessedCluster(err error) error {
	var lacking *remote.LackingError
	var xdp *prober.XDPError
	if errors.As(err, &lacking) || errors.As(err, &xdp) {
		return unsupportedError(err)
	}
	return &exitError{exitUntested, err}
}
