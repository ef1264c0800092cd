package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"

	"github.com/dsrlab/dsrlab/dataplane/kube/image"
	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/cluster"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

// clusterOptions are the flags about an existing cluster.
type clusterOptions struct {
	kubeconfig, context, dataPath, workloadImage string
}

func (o *clusterOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.kubeconfig, "kubeconfig", "", "with cluster, the file that leads to it; it is only read (default: $KUBECONFIG, or ~/.kube/config)")
	cmd.Flags().StringVar(&o.context, "context", "", "with cluster, the context of that file (default: its current one)")
	cmd.Flags().StringVar(&o.dataPath, "data-path", "", "with cluster, what is measured: as-is (whatever serves its services today: described, not judged) or "+
		"dsrlab (its dsrd, held against the lab's expectations). Default: dsrlab, which must be there")
	cmd.Flags().StringVar(&o.workloadImage, "workload-image", image.DefaultTag, "with cluster, the image that pods run; nodes must have it, or be able to pull it")
}

// check refuses the flags where no existing cluster is meant.
func (o *clusterOptions) check(cmd *cobra.Command) error {
	return refuse(cmd, "only with --substrate cluster", "kubeconfig", "context", "data-path", "workload-image")
}

// refuse is bad usage if one of some flags is given.
func refuse(cmd *cobra.Command, why string, names ...string) error {
	for _, name := range names {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
			return usageError(fmt.Errorf("--%s: %s", name, why))
		}
	}
	return nil
}

func (o *substrate) isCluster() bool {
	return topologies.SubstrateKind(o.name) == topologies.SubstrateCluster
}

// runOnCluster runs labs on an existing cluster, one after the other. A lab of which nothing can be done there is left out; the worst
// outcome is returned.
func runOnCluster(cmd *cobra.Command, s streams, o runOptions, story io.Writer, all []*labs.Lab) error {
	if err := refuse(cmd, "not with --substrate cluster, on which nothing is installed", "image", "keep", "hook", "fault", "router", "proxy"); err != nil {
		return err
	}
	client, path, err := o.on.cluster.open(cmd)
	if err != nil {
		return err
	}
	if err := mustUndo(cmd.Context()); err != nil {
		return err
	}
	var summaries []results.Summary
	var clusters []*cluster.Cluster
	var unsupported []error
	for _, lab := range all {
		c, err := cluster.New(cmd.Context(), lab, cluster.Options{Client: client, DataPath: path, Image: o.on.cluster.workloadImage})
		var lacking *labs.UnsupportedError
		if errors.As(err, &lacking) {
			unsupported = append(unsupported, err)
			continue
		}
		if err != nil {
			return err
		}
		runner := &labs.Runner{
			Substrate: topologies.SubstrateCluster, Existing: c, RunsDir: o.runs, Repetitions: o.repetitions, Narrator: newConsole(story, s.err),
		}
		summary, err := runner.Run(cmd.Context(), c.Subset.Lab)
		if err != nil {
			return err
		}
		summaries, clusters = append(summaries, summary), append(clusters, c)
		if cmd.Context().Err() != nil {
			break
		}
	}
	if err := printOnCluster(s, o, summaries, clusters); err != nil {
		return err
	}
	if err := errors.Join(unsupported...); err != nil {
		return errors.Join(outcome(summaries), unsupportedError(err)) // the first one's code counts
	}
	return outcome(summaries)
}

// open finds the cluster, and what is measured there.
func (o *clusterOptions) open(cmd *cobra.Command) (kubernetes.Interface, testbed.DataPath, error) {
	path := cmp.Or(testbed.DataPath(o.dataPath), cluster.DSRLab)
	if path != cluster.AsIs && path != cluster.DSRLab {
		return nil, "", usageError(fmt.Errorf("--data-path: unknown data path %q (want %s or %s)", path, cluster.AsIs, cluster.DSRLab))
	}
	client, err := cluster.Connect(o.kubeconfig, o.context)
	if err != nil {
		return nil, "", usageError(fmt.Errorf("--kubeconfig, --context: %w", err))
	}
	if path == cluster.DSRLab {
		err = cluster.FindAgent(cmd.Context(), client)
	}
	if errors.Is(err, cluster.ErrNoAgent) {
		err = usageError(fmt.Errorf("--data-path: %w: give --data-path as-is to measure what serves its services today, or install it "+
			"(dataplane/kube/README.md)", err))
	}
	return client, path, err
}

// printOnCluster prints what was found: what the labs were held against as verdicts, all else as it was seen.
func printOnCluster(s streams, o runOptions, summaries []results.Summary, clusters []*cluster.Cluster) error {
	if len(summaries) == 0 {
		return nil
	}
	if o.output != "text" {
		return printSummaries(s, o, summaries)
	}
	var judged []results.Summary
	for i, summary := range summaries {
		fmt.Fprintf(s.out, "\n%s:\n", summary.Lab)
		clusters[i].Summarize(s.out)
		if !summary.Descriptive {
			judged = append(judged, summary)
		}
	}
	if len(judged) == 0 {
		return nil
	}
	return printSummaries(s, o, judged)
}
