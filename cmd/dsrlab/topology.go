package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/console"
	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/manifest"
)

// newTopologyCommand reads topologies: those that come with the program, and files. None of its commands makes anything.
func newTopologyCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "topology",
		Short: "List, show, check and draw the networks that labs are built from",
		Long: `A topology is a YAML file: clients, LB nodes and pod nodes, the links between them, pods, and Kubernetes Services.

NAME|FILE is a name of "dsrlab topology list", or a file (with a slash or a dot in its name, or - for standard input).`,
	}
	return group(cmd, newTopologyListCommand(s), newTopologyShowCommand(s), newTopologyValidateCommand(s), newTopologyGraphCommand(s))
}

// loadTopology reads a topology: a file, or one of the catalogue by its name. All its errors are about the user's input.
func loadTopology(nameOrFile string) (*topologies.Topology, error) {
	if strings.ContainsAny(nameOrFile, "./\\") {
		return topologies.ParseFile(nameOrFile)
	}
	if slices.Contains(topologies.Catalogue(), nameOrFile) {
		return topologies.Lookup(nameOrFile)
	}
	topology, err := topologies.ParseFile(nameOrFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read topology: there is neither a file nor a topology named %q%s", nameOrFile,
			manifest.Suggest(nameOrFile, topologies.Catalogue()))
	}
	return topology, err
}

// planTopology reads a topology as loadTopology does, or from standard input, and plans it.
func planTopology(s streams, nameOrFile string) (*topologies.Topology, *topologies.Plan, error) {
	topology, err := topologyFrom(s, nameOrFile)
	if err != nil {
		return nil, nil, usageError(err)
	}
	plan, err := topologies.PlanOf(topology)
	if err != nil {
		return nil, nil, usageError(err)
	}
	return topology, plan, nil
}

func topologyFrom(s streams, nameOrFile string) (*topologies.Topology, error) {
	if nameOrFile != "-" {
		return loadTopology(nameOrFile)
	}
	data, err := manifest.Read("standard input", s.in)
	if err != nil {
		return nil, fmt.Errorf("read topology: %w", err)
	}
	return topologies.Parse("standard input", data)
}

// listedTopology is a line of topology list.
type listedTopology struct {
	Name        string `json:"name"`
	Nodes       int    `json:"nodes"`
	Pods        int    `json:"pods"`
	Services    int    `json:"services"`
	Description string `json:"description"`
}

func newTopologyListCommand(s streams) *cobra.Command {
	var output string
	cmd := &cobra.Command{Use: "list", Short: "List the topologies that come with the program", Args: noArgs}
	outputFlag(cmd, &output)
	cmd.RunE = func(*cobra.Command, []string) error {
		listed := []listedTopology{}
		for _, name := range topologies.Catalogue() {
			topology, plan, err := planTopology(s, name)
			if err != nil {
				return err
			}
			listed = append(listed, listedTopology{name, len(plan.Nodes), len(plan.Pods), len(plan.Services), topology.Metadata.Description})
		}
		return printAs(s.out, output, listed, func(w io.Writer) {
			t := terminal.NewTable(w, "NAME", "NODES", "PODS", "SERVICES", "DESCRIPTION")
			for _, l := range listed {
				t.Row(l.Name, l.Nodes, l.Pods, l.Services, l.Description)
			}
			t.Render()
		})
	}
	return cmd
}

func newTopologyShowCommand(s streams) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "show NAME|FILE",
		Short: "Show a topology: what would be built (table), or the file with its defaults filled in (yaml, json)",
		Args:  oneArg,
	}
	outputFlag(cmd, &output)
	planned := cmd.Flags().Bool("plan", false, "with json or yaml: the plan, every address, link and route of it, in place of the file")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		topology, plan, err := planTopology(s, args[0])
		if err != nil {
			return err
		}
		topologies.Default(topology)
		var value any = topology
		if *planned {
			value = plan
		}
		return printAs(s.out, output, value, func(w io.Writer) { console.ShowTopology(w, topology.Metadata.Description, plan) })
	}
	return cmd
}

func newTopologyValidateCommand(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE...",
		Short: "Check topology files, and report everything that is wrong with them by line",
		Args:  minArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var errs []error
			for _, arg := range args {
				_, plan, err := planTopology(s, arg)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				fmt.Fprintf(s.out, "%s: topology %s is valid\n", arg, plan.Name)
			}
			if len(errs) > 0 {
				return usageError(errors.Join(errs...))
			}
			return nil
		},
	}
}

func newTopologyGraphCommand(s streams) *cobra.Command {
	var format, file string
	cmd := &cobra.Command{
		Use:   "graph NAME|FILE",
		Short: "Draw a topology, as a Mermaid flowchart or as SVG",
		Args:  oneArg,
		RunE: func(_ *cobra.Command, args []string) error {
			_, plan, err := planTopology(s, args[0])
			if err != nil {
				return err
			}
			var picture []byte
			switch format {
			case "mermaid":
				picture = []byte(topologies.Mermaid(plan))
			case "svg":
				if picture, err = topologies.SVG(plan); err != nil {
					return err
				}
			default:
				return usageError(fmt.Errorf("--format: unknown format %q (want mermaid or svg)", format))
			}
			if file != "" {
				if err := os.WriteFile(file, picture, 0o644); err != nil {
					return outputError("write", file, err)
				}
				return nil
			}
			_, err = s.out.Write(picture)
			return err
		},
	}
	cmd.Flags().StringVar(&format, "format", "mermaid", "mermaid or svg")
	cmd.Flags().StringVarP(&file, "write", "w", "", "file to write to (default: standard output)")
	return cmd
}
