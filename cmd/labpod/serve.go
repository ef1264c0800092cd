package main

import (
	"errors"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/workload"
)

func newServeCommand(s streams) *cobra.Command {
	var listens [3][]string
	kinds := []workload.Kind{workload.KindEcho, workload.KindBulk, workload.KindDNS}
	c := &cobra.Command{
		Use:   "serve [--echo PORT] [--bulk PORT] [--dns PORT] …",
		Short: "Run servers until told to stop",
		Long: `Run servers until told to stop (SIGINT, SIGTERM). Each flag can be given several times; PORT can be ADDR:PORT too.

Standard output is a log, a JSON object a line: "ready" with all addresses when all servers listen, then "seen" for each
connection, datagram and request with the client's address.`,
		Example: "  labpod serve --echo 8080 --bulk 5201",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var specs []workload.ServerSpec
			var errs []error
			for i, kind := range kinds {
				for _, listen := range listens[i] {
					at, err := workload.ParseListen(listen)
					errs = append(errs, err)
					specs = append(specs, workload.ServerSpec{Kind: kind, Listen: at})
				}
			}
			if len(specs) == 0 {
				errs = append(errs, errors.New("serve what? give --echo, --bulk or --dns"))
			}
			if err := errors.Join(errs...); err != nil {
				return usageError(err)
			}
			log := slog.New(slog.NewJSONHandler(s.out, nil))
			return serve(c, log, specs)
		},
	}
	c.Flags().StringArrayVar(&listens[0], "echo", nil, "echo server (TCP, UDP, HTTP): says who it saw")
	c.Flags().StringArrayVar(&listens[1], "bulk", nil, "bulk server (TCP): sends or takes bytes as fast as it can")
	c.Flags().StringArrayVar(&listens[2], "dns", nil, "DNS server (UDP, TCP): whoami. is the client's address")
	return c
}

func serve(c *cobra.Command, log *slog.Logger, specs []workload.ServerSpec) error {
	servers, err := workload.Start(c.Context(), nil, log, specs...)
	if err != nil {
		return err
	}
	log.Info("ready", "servers", servers.Listening())
	return servers.Wait()
}
