// Command dsrd runs on a node beside its data path: it answers health checks and shows the node's counters to Prometheus.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/dataplane/agent"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, log io.Writer) int {
	o := agent.Options{Log: slog.New(slog.NewTextHandler(log, nil))}
	cmd := &cobra.Command{
		Use: "dsrd", Short: "Answer health checks and show counters of a node's data path", Args: cobra.NoArgs,
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Node == "" {
				return errors.New("--node: which node does it run on?")
			}
			return agent.Run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.Node, "node", "", "name of the node")
	cmd.Flags().StringVar(&o.Tables, "tables", "/run/dsrlab/tables.json", "file with the cluster's frontends and backends")
	cmd.Flags().StringVar(&o.PinDir, "pins", "/sys/fs/bpf/dsrlab", "folder of the data path on a bpffs")
	cmd.Flags().StringVar(&o.Metrics, "metrics", ":9964", "where to serve /metrics and /healthz; empty: nowhere")
	cmd.SetArgs(args)
	cmd.SetErr(log)
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(log, "dsrd:", err)
		return 2
	}
	return 0
}
