// Command dsrd is the node agent: it keeps a node's data path, and its pods' network where it is asked to, as a cluster's Services,
// EndpointSlices and Nodes say; it answers health checks and shows the node's counters to Prometheus.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/cmd/internal/interrupt"
	"github.com/dsrlab/dsrlab/cmd/internal/usage"
	"github.com/dsrlab/dsrlab/dataplane/agent"
)

// A signal is how it is meant to end: its exit status says only whether that went well.
func main() {
	ctx, stop := interrupt.Notify(context.Background())
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// flags are what the command line says.
type flags struct {
	agent.Options
	config, kubeconfig, server, objects string
}

func run(ctx context.Context, args []string, out, log io.Writer) int {
	cmd := newCommand(log)
	cmd.SetArgs(args)
	cmd.SetOut(out)
	cmd.SetErr(log)
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(log, "dsrd:", usage.Message(err))
		return 2
	}
	return 0
}

func newCommand(log io.Writer) *cobra.Command {
	f := flags{Options: agent.Options{Log: slog.New(slog.NewTextHandler(log, nil))}}
	cmd := &cobra.Command{
		Use: "dsrd", Short: "Keep a node's data path as the cluster's services say", Args: cobra.NoArgs,
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case f.Node == "":
				return errors.New("--node: missing (want the name of this node)")
			case f.Tables != "" && f.config != "":
				return errors.New("--tables and --config: give one of them")
			case f.Tables != "":
				return agent.Run(cmd.Context(), f.Options)
			case f.config == "":
				return errors.New("--config: which file configures it?")
			case f.objects != "" && (f.kubeconfig != "" || f.server != ""):
				return errors.New("--objects: found --kubeconfig or --server, too (want a file or an API server)")
			}
			return runNode(cmd.Context(), f)
		},
	}
	cmd.Flags().StringVar(&f.Node, "node", os.Getenv("NODE_NAME"), "name of the node (default: the variable NODE_NAME)")
	cmd.Flags().StringVar(&f.config, "config", "", "file with an AgentConfig")
	cmd.Flags().StringVar(&f.kubeconfig, "kubeconfig", "", "how to reach the API server (default: as a pod of the cluster)")
	cmd.Flags().StringVar(&f.server, "server", "", "address of the API server instead of the configured one, as https://HOST:PORT: "+
		"a node's, as ClusterIPs don't work before dsrd does")
	cmd.Flags().StringVar(&f.objects, "objects", "", "file with Services, EndpointSlices and Nodes, in place of an API server")
	cmd.Flags().StringVar(&f.Tables, "tables", "", "answer health checks only, for the frontends and backends of this file")
	cmd.Flags().StringVar(&f.PinDir, "pins", "/sys/fs/bpf/dsrlab", "folder of the data path on a bpffs")
	cmd.Flags().StringVar(&f.Metrics, "metrics", ":9964", "where to serve /metrics and /healthz; empty: nowhere")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage.FlagError(err) })
	usage.FitHelp(cmd)
	return cmd
}
