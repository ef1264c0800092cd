package main

import (
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/results"
)

func newLabListCommand(s streams) *cobra.Command {
	var output, runs string
	cmd := &cobra.Command{
		Use: "list", Short: "List the labs: what they check, how long they took, and what they need", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := allLabs(results.Store{Dir: runs, Reference: results.Reference()})
			if err != nil {
				return err
			}
			return printAs(s.out, output, all, func(w io.Writer) { labTable(w, all) })
		},
	}
	outputFlag(cmd, &output)
	cmd.Flags().StringVar(&runs, "runs", defaultRunsDir, "folder of recorded runs, which tell how long labs take")
	return cmd
}

// listedLab is a lab in `lab list`.
type listedLab struct {
	Name     string   `json:"name"`
	Title    string   `json:"title"`
	Topology string   `json:"topology"`
	Variants []string `json:"variants"`
	Claims   []string `json:"claims"`
	// Seconds is how long the latest run took; 0: nobody has run it.
	Seconds float64 `json:"seconds,omitempty"`
	// Requires is what it needs of the machine beyond Linux, root and namespaces.
	Requires []string `json:"requires,omitempty"`
}

func allLabs(store results.Store) ([]listedLab, error) {
	names, err := labs.Catalogue()
	if err != nil {
		return nil, err
	}
	needs, err := labs.Needs()
	if err != nil {
		return nil, err
	}
	var all []listedLab
	for i, name := range names {
		lab, err := labs.Lookup(name)
		if err != nil {
			return nil, err
		}
		listed := listedLab{Name: name, Title: lab.Metadata.Title, Topology: lab.Spec.Topology, Claims: lab.Claims()}
		for _, v := range lab.Spec.Variants {
			listed.Variants = append(listed.Variants, v.Name)
		}
		if needs[i].Shaped {
			listed.Requires = append(listed.Requires, "shaped links")
		}
		if needs[i].Translates {
			listed.Requires = append(listed.Requires, "nftables")
		}
		listed.Requires = append(listed.Requires, lab.Spec.Requires...)
		if run, err := store.Find(name); err == nil && run.State() == results.Finished {
			listed.Seconds = run.Manifest.Ended.Sub(run.Manifest.Started).Seconds()
		}
		all = append(all, listed)
	}
	return all, nil
}

func labTable(w io.Writer, all []listedLab) {
	t := terminal.NewTable(w, "LAB", "TITLE", "CLAIMS", "TOOK", "REQUIRES").Spaced()
	for _, l := range all {
		took := "–"
		if l.Seconds > 0 {
			took = time.Duration(l.Seconds * float64(time.Second)).Round(time.Second).String()
		}
		t.Row(l.Name, l.Title, strings.Join(l.Claims, " "), took, strings.Join(l.Requires, ", "))
	}
	t.Render()
}
