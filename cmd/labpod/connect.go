package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

func newConnectCommand(s streams) *cobra.Command {
	var o workload.ConnectOptions
	var out output
	c := &cobra.Command{
		Use:   "connect ADDR:PORT",
		Short: "Call an echo server and report whom it saw",
		Long: `Call an echo server once or many times, and report whom it saw. Exit code 1 if a call was not answered.

--proxy-header sends a PROXY protocol header first, as a proxy would: v1 or v2, with this client's own address, with the one
given (v1=ADDR:PORT), or as the proxy's own connection (v2=local).`,
		Example: "  labpod connect --protocol udp --count 100 185.150.8.128:8080 -o json",
		Args:    oneArg("ADDR:PORT"),
	}
	c.Flags().StringVar((*string)(&o.Protocol), "protocol", "tcp", "tcp or udp")
	c.Flags().IntVar(&o.Count, "count", 1, "connections to open, or datagrams to send, each from its own socket")
	c.Flags().IntVar(&o.Concurrency, "concurrency", workload.DefaultConcurrency, "connections in progress at the same time")
	c.Flags().DurationVar(&o.Timeout, "timeout", workload.DefaultTimeout, "time for one connection, or to wait for one datagram's answer")
	c.Flags().IntVar(&o.Retries, "retries", 2, "retransmissions of a datagram without an answer")
	c.Flags().IntVar(&o.Data, "data", 0, fmt.Sprintf("bytes that each connection also sends, and must get back (tcp; at most %d)", workload.MaxData))
	c.Flags().BoolVar(&o.Detail, "detail", false, "also ask for the socket's address and PROXY header, and detect garbled input (tcp)")
	header := c.Flags().String("proxy-header", "", "PROXY header to send first (tcp): v1, v2, VERSION=ADDR:PORT or VERSION=local")
	dialer := registerSource(c)
	out.register(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		var targetErr, sourceErr, headerErr error
		o.Target, targetErr = workload.ParseTarget(args[0])
		o.Dialer, sourceErr = dialer()
		o.ProxyHeader, headerErr = parseProxyHeader(*header)
		err := errors.Join(targetErr, sourceErr, headerErr, out.validate())
		if err == nil {
			err = o.Validate()
		}
		if err != nil {
			return usageError(err)
		}
		report, err := workload.Connect(c.Context(), o)
		if writeErr := out.write(s.out, report, func(w io.Writer) { printConnect(w, report) }); writeErr != nil {
			return writeErr
		}
		if err == nil && report.Outcomes[workload.OutcomeOK] < report.Count {
			err = fmt.Errorf("call %s: %d of %d not answered", report.Target, report.Count-report.Outcomes[workload.OutcomeOK], report.Count)
		}
		return err
	}
	return c
}

func printConnect(w io.Writer, report *workload.ConnectReport) {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(plainTable())
	t.AppendHeader(table.Row{"Protocol", "Local", "Seen", "Socket", "Preserved", "Outcome", "RTT", "Error"})
	for _, one := range report.Connections {
		t.AppendRow(table.Row{one.Protocol, orNothing(one.Local), orNothing(one.Seen), orNothing(one.Socket), one.Preserved, one.Outcome, inUnits(one.RTT), one.Error})
	}
	t.Render()
	fmt.Fprintf(w, "\n%d of %d answered, %d of them with the client's own address\n",
		report.Outcomes[workload.OutcomeOK], report.Count, report.Preserved)
}

// orNothing formats an address, or returns an empty string for the zero value.
func orNothing(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// parseProxyHeader reads --proxy-header.
func parseProxyHeader(s string) (*proxyproto.Header, error) {
	if s == "" {
		return nil, nil
	}
	text, source, found := strings.Cut(s, "=")
	version, err := proxyproto.ParseVersion(text)
	if err != nil || version == proxyproto.None {
		return nil, fmt.Errorf("PROXY header: found %q (want v1, v2, VERSION=ADDR:PORT or VERSION=local)", s)
	}
	header := &proxyproto.Header{Version: version, Command: proxyproto.Proxy}
	switch {
	case source == "local":
		header.Command = proxyproto.Local
	case found:
		if header.Source, err = netip.ParseAddrPort(source); err != nil {
			return nil, fmt.Errorf("PROXY header: found %q (want v1, v2, VERSION=ADDR:PORT or VERSION=local)", s)
		}
	}
	return header, nil
}

// plainTable returns a table of columns separated by spaces.
func plainTable() table.Style {
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft = ""
	style.Box.PaddingRight = "   "
	return style
}
