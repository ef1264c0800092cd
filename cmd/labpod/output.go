package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/results/units"
)

// output is the -o flag.
type output string

func (o *output) register(c *cobra.Command) {
	c.Flags().StringVarP((*string)(o), "output", "o", "table", "output format: table, json or yaml")
}

func (o output) validate() error {
	switch o {
	case "table", "json", "yaml":
		return nil
	}
	return fmt.Errorf("--output: unknown format %q (want table, json or yaml)", string(o))
}

// write prints document as JSON or YAML, or calls table.
func (o output) write(w io.Writer, document any, table func(io.Writer)) error {
	switch o {
	case "json":
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(document)
	case "yaml":
		b, err := yaml.Marshal(document)
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	}
	table(w)
	return nil
}

// inUnits formats a duration with a unit that suits it, as in 1.23 ms, or returns an empty string where there was none.
func inUnits(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return units.Format(d.Seconds(), "s")
}

// registerSource adds the --source flag; the returned function reads it.
func registerSource(c *cobra.Command) func() (workload.Dialer, error) {
	source := c.Flags().String("source", "", "client's own address, or ADDR:PORT")
	return func() (workload.Dialer, error) {
		if *source == "" {
			return workload.Dialer{}, nil
		}
		if addr, err := netip.ParseAddr(*source); err == nil {
			return workload.Dialer{Source: netip.AddrPortFrom(addr.Unmap(), 0)}, nil
		}
		at, err := netip.ParseAddrPort(*source)
		if err != nil {
			return workload.Dialer{}, fmt.Errorf("--source: found %q (want ADDR, ADDR:PORT or [ADDR6]:PORT)", *source)
		}
		return workload.Dialer{Source: netip.AddrPortFrom(at.Addr().Unmap(), at.Port())}, nil
	}
}
