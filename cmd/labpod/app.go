package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/application"
)

func newAppCommand(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "app NAME --listen PORT",
		Short: "Run an application that needs its clients' addresses",
		Long: `Run one of six small HTTP applications that decide by the client address that they see and by nothing else,
until told to stop. GET /record returns what it recorded. Standard output is a log like that of serve.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError(fmt.Errorf("unknown application %q: see labpod app --help", args[0]))
			}
			return usageError(errors.New("missing application: see labpod app --help"))
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }, // not reached: Args returns an error
	}
	c.AddCommand(
		newRateLimitCommand(s), newGeoCommand(s), newQuotaCommand(s), newCallBackCommand(s),
		newOneAppCommand(s, "audit", "Keep an audit log of who did what", func(*cobra.Command) func() (application.App, error) {
			return func() (application.App, error) { return application.NewAudit(), nil }
		}),
		newOneAppCommand(s, "visitors", "Count visitors by address", func(*cobra.Command) func() (application.App, error) {
			return func() (application.App, error) { return application.NewVisitors(), nil }
		}),
	)
	return c
}

// newOneAppCommand returns the command of one application. flags adds the application's flags and returns its constructor.
func newOneAppCommand(s streams, name, short string, flags func(*cobra.Command) func() (application.App, error)) *cobra.Command {
	var o application.Options
	var listen string
	c := &cobra.Command{Use: name + " --listen PORT", Short: short, Args: noArgs}
	c.Flags().StringVar(&listen, "listen", "", "PORT or ADDR:PORT to listen on")
	policy := registerPolicy(c)
	newApp := flags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		var errs [3]error
		var app application.App
		o.Listen, errs[0] = workload.ParseListen(listen)
		o.ProxyProtocol, errs[1] = policy()
		app, errs[2] = newApp()
		if err := errors.Join(errs[:]...); err != nil {
			return usageError(err)
		}
		return host(c, s, func(ctx context.Context, log *slog.Logger) (workload.Server, func() any, error) {
			o.Log = log
			web, err := application.Open(ctx, app, o)
			return web, app.Record, err
		})
	}
	return c
}

func newRateLimitCommand(s streams) *cobra.Command {
	return newOneAppCommand(s, "ratelimit", "Limit each client's requests per second", func(c *cobra.Command) func() (application.App, error) {
		var limit application.RateLimit
		var blocked []string
		c.Flags().Float64Var(&limit.Rate, "rate", 1, "requests per second and client")
		c.Flags().IntVar(&limit.Burst, "burst", 1, "requests allowed at once")
		c.Flags().IntVar(&limit.BlockAfter, "block-after", 0, "rejections after which a client is blocked for good (0: never)")
		c.Flags().StringArrayVar(&blocked, "block", nil, "prefix of clients that are blocked from the start; can be given several times")
		return func() (application.App, error) {
			var err error
			if limit.Blocked, err = parsePrefixes("block", blocked); err != nil {
				return nil, err
			}
			return application.NewRateLimiter(limit)
		}
	})
}

func newGeoCommand(s streams) *cobra.Command {
	return newOneAppCommand(s, "geo", "Answer each client with its region", func(c *cobra.Command) func() (application.App, error) {
		var texts []string
		c.Flags().StringArrayVar(&texts, "region", nil, "PREFIX=NAME; can be given several times, the longest matching prefix wins")
		return func() (application.App, error) {
			var table []application.Region
			var errs []error
			for _, text := range texts {
				region, err := application.ParseRegion(text)
				errs = append(errs, err)
				table = append(table, region)
			}
			if err := errors.Join(errs...); err != nil {
				return nil, err
			}
			return application.NewGeo(table)
		}
	})
}

func newQuotaCommand(s streams) *cobra.Command {
	return newOneAppCommand(s, "quota", "Give each client a quota of tokens", func(c *cobra.Command) func() (application.App, error) {
		limit := c.Flags().Int64("tokens", 10_000, "quota of each client, in tokens")
		return func() (application.App, error) { return application.NewQuota(*limit) }
	})
}

func newCallBackCommand(s streams) *cobra.Command {
	return newOneAppCommand(s, "callback", "Connect back to clients at the address that the server sees", func(c *cobra.Command) func() (application.App, error) {
		timeout := c.Flags().Duration("timeout", application.DefaultCallTimeout, "time for one call")
		dialer := registerSource(c)
		return func() (application.App, error) {
			from, err := dialer()
			if err != nil {
				return nil, err
			}
			return application.NewCallBack(from, *timeout)
		}
	})
}

func newCallMeCommand(s streams) *cobra.Command {
	var o application.CallMeOptions
	var out output
	c := &cobra.Command{
		Use:     "callme ADDR:PORT",
		Short:   "Ask a callback application to call back, and wait for the call",
		Long:    "Ask a callback application to call back, and wait for the call. Exit code 1 if the call did not arrive.",
		Example: "  labpod callme 185.150.8.128:8080",
		Args:    oneArg("ADDR:PORT"),
	}
	c.Flags().DurationVar(&o.Timeout, "timeout", 0, "time for the whole exchange (default 5s)")
	dialer := registerSource(c)
	out.register(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		var targetErr, sourceErr error
		o.Target, targetErr = workload.ParseTarget(args[0])
		o.Dialer, sourceErr = dialer()
		err := errors.Join(targetErr, sourceErr, out.validate())
		if err == nil {
			err = o.Validate()
		}
		if err != nil {
			return usageError(err)
		}
		report, err := application.CallMe(c.Context(), o)
		if err != nil {
			return err
		}
		if err := out.write(s.out, report, func(w io.Writer) { printCallMe(w, report) }); err != nil {
			return err
		}
		if !report.Reached {
			return fmt.Errorf("call from %s did not arrive", o.Target)
		}
		return nil
	}
	return c
}

func printCallMe(w io.Writer, report *application.CallMeReport) {
	fmt.Fprintf(w, "waited at     %s\n", report.Waited)
	fmt.Fprintf(w, "server saw    %s\n", orNothing(report.Server.Client))
	fmt.Fprintf(w, "server called %s: %s %s\n", orNothing(report.Server.Called), report.Server.Outcome, report.Server.Error)
	if report.Reached {
		fmt.Fprintf(w, "call came from %s\n", report.From)
		return
	}
	fmt.Fprintf(w, "no call came %s\n", report.Error)
}
