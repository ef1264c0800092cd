package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/dataplane"
)

// newLBCommand reads the load balancer's tables.
func newLBCommand(s streams) *cobra.Command {
	return group(&cobra.Command{Use: "lb", Short: "Read the load balancer's tables"}, newLBListCommand(s))
}

func newLBListCommand(s streams) *cobra.Command {
	var target testbedTarget
	var output, node string
	cmd := &cobra.Command{
		Use: "list", Short: "List frontends and backends of a node, as cilium bpf lb list does", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			tb, err := target.attach()
			if err != nil {
				return err
			}
			if all := tb.Network().Namespaces(); node != "" && !slices.Contains(all, node) {
				return unknown("node of "+tb.Network().Name(), node, all)
			}
			data, err := tb.OpenDataPath(cmp.Or(node, tb.EntryNode()))
			if err != nil {
				return err
			}
			defer data.Close()
			list, err := data.List()
			if err != nil {
				return err
			}
			return printAs(s.out, output, list, func(w io.Writer) { lbTable(w, list) })
		},
	}
	target.flags(cmd)
	outputFlag(cmd, &output)
	cmd.Flags().StringVar(&node, "node", "", "node (default: the first LB node)")
	return cmd
}

// lbTable is as cilium bpf lb list: in brackets the number of the service's port (REVNAT_ID) and the slot, of which 0 is the
// frontend itself.
func lbTable(out io.Writer, list []dataplane.Listed) {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "SERVICE ADDRESS\tBACKEND ADDRESS (REVNAT_ID) (SLOT)")
	for _, f := range list {
		flags := f.Kind + ", " + f.Mode
		if f.Local {
			flags += ", Local"
		}
		if f.Random {
			flags += ", random"
		}
		if f.Affinity > 0 {
			flags += ", sessionAffinity"
		}
		if len(f.Ranges) > 0 {
			flags += ", check source-range"
		}
		fmt.Fprintf(w, "%v/%s (0)\t0.0.0.0:0 (%d) (0) [%s]\n", f.Address, f.Protocol, f.Number, flags)
		for slot, b := range f.Backends {
			fmt.Fprintf(w, "%v/%s (%d)\t%v/%s (%d) (%d)\n", f.Address, f.Protocol, slot+1, b.Address, f.Protocol, f.Number, slot+1)
		}
	}
	w.Flush()
}
