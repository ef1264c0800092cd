package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/download"
	"github.com/dsrlab/dsrlab/labs/workload/inference"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

// service is a server to open; report is nil where the server has none.
type service func(ctx context.Context, log *slog.Logger) (server workload.Server, report func() any, err error)

// serverKind is a kind of server that serve has a flag for.
type serverKind struct {
	flag, usage string
	open        func(ctx context.Context, log *slog.Logger, listen netip.AddrPort, policy proxyproto.Policy) (workload.Server, func() any, error)
}

func serverKinds() []serverKind {
	return []serverKind{
		{"echo", "echo server (TCP, UDP, HTTP): answers with the client's address", openEcho},
		{"bulk", "bulk server (TCP): sends or receives bytes as fast as it can", openPlain(workload.KindBulk)},
		{"dns", "DNS server (UDP, TCP): whoami. is the client's address", openPlain(workload.KindDNS)},
		{"inference", "inference server (HTTP): responses of any size, in one piece or as a stream of tokens", openInference},
		{"download", "download server (TCP): paced downloads", openDownload},
	}
}

func openPlain(kind workload.Kind) func(context.Context, *slog.Logger, netip.AddrPort, proxyproto.Policy) (workload.Server, func() any, error) {
	return func(ctx context.Context, log *slog.Logger, listen netip.AddrPort, policy proxyproto.Policy) (workload.Server, func() any, error) {
		server, err := workload.Open(ctx, nil, log, workload.ServerSpec{Kind: kind, Listen: listen, ProxyProtocol: policy})
		return server, nil, err
	}
}

func openEcho(ctx context.Context, log *slog.Logger, listen netip.AddrPort, policy proxyproto.Policy) (workload.Server, func() any, error) {
	server, err := workload.OpenEcho(ctx, nil, workload.LogOf(log, workload.KindEcho), workload.EchoOptions{Listen: listen, ProxyProtocol: policy})
	return server, func() any { return server.Report() }, err
}

func openInference(ctx context.Context, log *slog.Logger, listen netip.AddrPort, policy proxyproto.Policy) (workload.Server, func() any, error) {
	server, err := inference.Open(ctx, inference.Options{Listen: listen, Log: log, ProxyProtocol: policy})
	return server, func() any { return server.Report() }, err
}

func openDownload(ctx context.Context, log *slog.Logger, listen netip.AddrPort, policy proxyproto.Policy) (workload.Server, func() any, error) {
	if policy.Require {
		return nil, nil, fmt.Errorf("start %s server: the PROXY protocol is not supported", download.Kind)
	}
	server, err := download.Open(ctx, download.ServerOptions{Listen: listen, Log: log})
	return server, func() any { return server.Report() }, err
}

func newServeCommand(s streams) *cobra.Command {
	kinds := serverKinds()
	listens := make([][]string, len(kinds))
	c := &cobra.Command{
		Use:   "serve [--echo PORT] [--bulk PORT] [--dns PORT] [--inference PORT] [--download PORT] …",
		Short: "Run servers until told to stop",
		Long: `Run servers until told to stop (SIGINT, SIGTERM). Each flag can be given several times; PORT can be ADDR:PORT too.

Standard output is a log, a JSON object a line: "ready" with all addresses when all servers listen, then "seen" for each
connection, datagram and request with the client's address, and at the end "report" with what a server counted.`,
		Example: "  labpod serve --echo 8080 --bulk 5201",
		Args:    noArgs,
	}
	for i, kind := range kinds {
		c.Flags().StringArrayVar(&listens[i], kind.flag, nil, kind.usage)
	}
	policy := registerPolicy(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		accept, err := policy()
		errs := []error{err}
		var services []service
		for i, kind := range kinds {
			for _, listen := range listens[i] {
				at, err := workload.ParseListen(listen)
				errs = append(errs, err)
				services = append(services, func(ctx context.Context, log *slog.Logger) (workload.Server, func() any, error) {
					return kind.open(ctx, log, at, accept)
				})
			}
		}
		if len(services) == 0 {
			errs = append(errs, errors.New("missing server (want --echo, --bulk, --dns, --inference or --download)"))
		}
		if err := errors.Join(errs...); err != nil {
			return usageError(err)
		}
		return host(c, s, services...)
	}
	return c
}

// host opens all servers or none, and serves until it is told to stop.
func host(c *cobra.Command, s streams, services ...service) error {
	log := slog.New(slog.NewJSONHandler(s.out, nil))
	var opened []workload.Server
	var reports []func() any
	var errs []error
	for _, open := range services {
		server, report, err := open(c.Context(), log)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		opened, reports = append(opened, server), append(reports, report)
	}
	if err := errors.Join(errs...); err != nil {
		for _, server := range opened {
			server.Close()
		}
		return err
	}
	servers := workload.Run(c.Context(), opened...)
	log.Info("ready", "servers", servers.Listening())
	err := servers.Wait()
	for i, report := range reports {
		if report != nil {
			log.Info("report", "server", opened[i].Listening().Kind, "report", report())
		}
	}
	return err
}
