package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/l7proxy"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
	"github.com/dsrlab/dsrlab/labs/workload/tcpproxy"
)

func newL7ProxyCommand(s streams) *cobra.Command {
	var o l7proxy.Options
	var listen string
	var upstreams, trusted []string
	c := &cobra.Command{
		Use:   "l7proxy --listen PORT --upstream ADDR:PORT …",
		Short: "Run an HTTP proxy that passes the client's address on in X-Forwarded-For and Forwarded",
		Long: `Run an HTTP proxy until told to stop. It appends whom a request came from to X-Forwarded-For and Forwarded (RFC 7239), and
drops what the headers said before, unless it is told whom to trust: a number of proxies in front (--trusted-hops), proxies
by address (--trusted-proxy), or everybody, which is wrong (--trust-all). Standard output is a log, as that of serve.`,
		Example: "  labpod l7proxy --listen 80 --upstream 10.244.1.5:8080 --trusted-proxy 10.0.0.0/24",
		Args:    noArgs,
	}
	c.Flags().StringVar(&listen, "listen", "", "PORT or ADDR:PORT to listen on")
	c.Flags().StringArrayVar(&upstreams, "upstream", nil, "ADDR:PORT to forward to; several are used in turn")
	c.Flags().IntVar(&o.Trust.Hops, "trusted-hops", 0, "number of trusted proxies in front")
	c.Flags().StringArrayVar(&trusted, "trusted-proxy", nil, "prefix of trusted proxies in front; can be given several times")
	c.Flags().BoolVar(&o.Trust.All, "trust-all", false, "trust whatever clients send")
	c.Flags().DurationVar(&o.Timeout, "timeout", l7proxy.DefaultTimeout, "time for an upstream to accept a connection")
	c.Flags().IntVar(&o.KeepAlive, "keep-alive", 0, "idle connections to upstreams that are kept for later requests")
	dialer, policy := registerSource(c), registerPolicy(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		var errs [5]error
		o.Listen, errs[0] = workload.ParseListen(listen)
		o.Upstreams, errs[1] = parseTargets(upstreams)
		o.Trust.Proxies, errs[2] = parsePrefixes("trusted-proxy", trusted)
		o.Dialer, errs[3] = dialer()
		o.ProxyProtocol, errs[4] = policy()
		err := errors.Join(errs[:]...)
		if err == nil {
			err = o.Validate()
		}
		if err != nil {
			return usageError(err)
		}
		return host(c, s, func(ctx context.Context, log *slog.Logger) (workload.Server, func() any, error) {
			o.Log = log
			proxy, err := l7proxy.Open(ctx, o)
			return proxy, func() any { return proxy.Report() }, err
		})
	}
	return c
}

func newTCPProxyCommand(s streams) *cobra.Command {
	var o tcpproxy.Options
	var listen, send string
	var upstreams []string
	c := &cobra.Command{
		Use:   "tcpproxy --listen PORT --upstream ADDR:PORT … [--send v1|v2]",
		Short: "Run a TCP proxy that passes the client's address on in the PROXY protocol",
		Long: `Run a TCP proxy until told to stop. Each connection to an upstream begins with a PROXY protocol header that names the client.
With --proxy-protocol clients' connections begin with one too, as in a chain of proxies. Standard output is a log, as that
of serve.`,
		Example: "  labpod tcpproxy --listen 80 --upstream 10.244.1.5:8080 --send v2",
		Args:    noArgs,
	}
	c.Flags().StringVar(&listen, "listen", "", "PORT or ADDR:PORT to listen on")
	c.Flags().StringArrayVar(&upstreams, "upstream", nil, "ADDR:PORT to forward to; several are used in turn")
	c.Flags().StringVar(&send, "send", "v1", "version of the header: v1, v2 or none")
	c.Flags().DurationVar(&o.Timeout, "timeout", tcpproxy.DefaultTimeout, "time for an upstream to accept a connection")
	c.Flags().DurationVar(&o.CheckEvery, "check-every", 0, "how often upstreams are checked, with LOCAL headers (0: never)")
	dialer, policy := registerSource(c), registerPolicy(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		var errs [5]error
		o.Listen, errs[0] = workload.ParseListen(listen)
		o.Upstreams, errs[1] = parseTargets(upstreams)
		o.Send, errs[2] = proxyproto.ParseVersion(send)
		o.Dialer, errs[3] = dialer()
		o.Accept, errs[4] = policy()
		err := errors.Join(errs[:]...)
		if err == nil {
			err = o.Validate()
		}
		if err != nil {
			return usageError(err)
		}
		return host(c, s, func(ctx context.Context, log *slog.Logger) (workload.Server, func() any, error) {
			o.Log = log
			proxy, err := tcpproxy.Open(ctx, o)
			return proxy, func() any { return proxy.Report() }, err
		})
	}
	return c
}
