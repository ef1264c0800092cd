package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/doctor"
	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/kind"
)

// diagnosis is what doctor prints as json and yaml.
type diagnosis struct {
	Checks []doctor.Check   `json:"checks"`
	Labs   []doctor.Verdict `json:"labs"`
}

// newDoctorCommand says which labs can run here.
func newDoctorCommand(s streams) *cobra.Command {
	var output string
	var on substrate
	cmd := &cobra.Command{
		Use: "doctor", Short: "Find out, by trying, which labs can run on this machine", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			needs, err := labs.Needs()
			if err != nil {
				return err
			}
			k, err := on.kind()
			if err != nil {
				return err
			}
			if err := mustUndo(cmd.Context()); err != nil {
				return err
			}
			checks := append(doctor.Run(cmd.Context()), doctor.Kind(cmd.Context(), on.image)...)
			d := diagnosis{Checks: checks, Labs: doctor.Judge(checks, needs, k == topologies.SubstrateKindK)}
			if err := printAs(s.out, output, d, func(w io.Writer) { diagnosisTable(w, d) }); err != nil {
				return err
			}
			for _, v := range d.Labs {
				if len(v.Missing) > 0 {
					return unsupportedError(fmt.Errorf("%s can't run here: missing %s", v.Lab, strings.Join(v.Missing, ", ")))
				}
			}
			if lacking := doctor.LackingForKind(checks); k == topologies.SubstrateKindK && len(lacking) > 0 {
				return unsupportedError(fmt.Errorf("no kind cluster can be made here: missing %s", strings.Join(lacking, ", ")))
			}
			return nil
		},
	}
	outputFlag(cmd, &output)
	cmd.Flags().StringVar(&on.name, "substrate", "", "kind: which labs can run on a kind cluster; it is a failure, too, if none can be made here")
	cmd.Flags().StringVar(&on.image, "image", "", "the node image to look for (default: "+kind.DefaultImage+")")
	return cmd
}

func diagnosisTable(w io.Writer, d diagnosis) {
	columns := terminal.ColumnsOr(w, terminal.TableColumns)
	t := terminal.NewTable(w, "CHECK", "STATE", "NEEDED FOR", "SEEN")
	for _, c := range d.Checks {
		t.Row(c.Name, c.State, c.Needed, c.Seen)
	}
	t.Render()
	for _, c := range d.Checks {
		if c.How != "" {
			fmt.Fprintf(w, "\n%s: how to get it\n%s\n", c.Name, terminal.Hang("  ", c.How, columns))
		}
	}
	fmt.Fprintln(w)
	for _, v := range d.Labs {
		switch {
		case v.CanRun:
			fmt.Fprintf(w, "%s can run\n", v.Lab)
		case v.OnlyNetns != "":
			fmt.Fprintln(w, terminal.Wrap(fmt.Sprintf("%s can't run: %s is not possible (run it with --substrate netns)", v.Lab, v.OnlyNetns), columns))
		default:
			fmt.Fprintln(w, terminal.Wrap(fmt.Sprintf("%s can't run: missing %s", v.Lab, strings.Join(v.Missing, ", ")), columns))
		}
	}
}
