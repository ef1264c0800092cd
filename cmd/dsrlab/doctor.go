package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/doctor"
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
			checks := append(doctor.Run(cmd.Context()), doctor.Kind(cmd.Context(), on.image)...)
			d := diagnosis{Checks: checks, Labs: doctor.Judge(checks, needs)}
			if err := printAs(s.out, output, d, func(w io.Writer) { diagnosisTable(w, d) }); err != nil {
				return err
			}
			for _, v := range d.Labs {
				if !v.CanRun {
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
	cmd.Flags().StringVar(&on.name, "substrate", "", "kind: it is a failure, too, if no kind cluster can be made here")
	cmd.Flags().StringVar(&on.image, "image", "", "the node image to look for (default: "+kind.DefaultImage+")")
	return cmd
}

func diagnosisTable(w io.Writer, d diagnosis) {
	t := newTable(w, "Check", "State", "Needed for", "Seen", "How to get it")
	for _, c := range d.Checks {
		t.AppendRow(table.Row{c.Name, c.State, c.Needed, c.Seen, c.How})
	}
	t.Render()
	for _, v := range d.Labs {
		if v.CanRun {
			fmt.Fprintf(w, "%s can run\n", v.Lab)
		} else {
			fmt.Fprintf(w, "%s can't run: missing %s\n", v.Lab, strings.Join(v.Missing, ", "))
		}
	}
}
