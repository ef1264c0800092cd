package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// names are what a shell offers for an argument or a flag of a command.
type names func(*cobra.Command) []string

// addCompletions lets shells complete the names that commands take, of all commands in one place. What also takes a path leaves
// files to the shell.
func addCompletions(root *cobra.Command) {
	arguments, flags := completedArguments(), completedFlags()
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		path := strings.TrimPrefix(c.CommandPath(), root.Name()+" ")
		if of, there := arguments[path]; there {
			c.ValidArgsFunction = completer(of)
		}
		for flag, of := range flags {
			if c.Flags().Lookup(flag) != nil {
				_ = c.RegisterFlagCompletionFunc(flag, completer(of)) // fails only for a flag that has one
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

func completer(of names) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return of(cmd), cobra.ShellCompDirectiveDefault
	}
}

func completedArguments() map[string]names {
	return map[string]names{
		"lab show": labNames, "lab run": labNames, "lab validate": labNames, "demo": func(c *cobra.Command) []string { return append(labNames(c), "dsr") },
		"topology show": topologyNames, "topology validate": topologyNames, "topology graph": topologyNames,
		"results show": runNames, "results compare": runNames, "results report": runNames,
		"workshop show": exerciseNames, "workshop hint": exerciseNames, "workshop solve": exerciseNames, "workshop verify": exerciseNames,
		"exec": namespaceNames, "capture": namespaceNames, "trace": namespaceNames,
		"explain": func(*cobra.Command) []string { return reasonNames() },
	}
}

func completedFlags() map[string]names {
	fixed := func(all ...string) names { return func(*cobra.Command) []string { return all } }
	return map[string]names{
		"file": topologyNames, "name": testbedNames, "node": namespaceNames, "from": namespaceNames, "to": namespaceNames, "play": runNames,
		"mode": fixed("snat", "dsr", "hybrid", "kube-proxy", "dnat-only", "none"), "hook": fixed(string(dataplane.HookTC), string(dataplane.HookXDP)),
		"fault": fixed("no-option", "no-reply-rewrite", "snat"), "scale": fixed("1", "1/2", "1/5", "1/10", "1/20"),
		"protocol": fixed("tcp", "udp"), "verdict": fixed("forwarded", "dropped"), "reason": func(*cobra.Command) []string { return reasonNames() },
		"substrate": fixed("netns", "kind"), "router": fixed("builtin", "bird"), "proxy": fixed("builtin", "nginx", "haproxy"),
		"output": func(c *cobra.Command) []string {
			first := c.Flags().Lookup("output").DefValue
			switch {
			case first == "compact":
				return []string{first, "json"}
			case c.Name() == "assess":
				return []string{first, "json", "yaml", "markdown", "html"}
			}
			return []string{first, "json", "yaml"}
		},
	}
}

func labNames(*cobra.Command) []string {
	all, err := labs.Catalogue()
	if err != nil {
		return nil
	}
	return all
}

func topologyNames(*cobra.Command) []string { return topologies.Catalogue() }

// exerciseNames are LAB/ID of all labs.
func exerciseNames(cmd *cobra.Command) []string {
	var all []string
	for _, name := range labNames(cmd) {
		lab, err := labs.Lookup(name)
		if err != nil {
			continue
		}
		for i := range lab.Spec.Exercises {
			all = append(all, name+"/"+lab.Spec.Exercises[i].ID)
		}
	}
	return all
}

// runNames are the recorded runs, and the labs that were run.
func runNames(cmd *cobra.Command) []string {
	store := results.Store{Dir: valueOf(cmd, "runs"), Reference: results.Reference()}
	entries, err := store.List()
	if err != nil {
		return nil
	}
	all := []string{"latest"}
	for _, e := range entries {
		all = append(all, e.Name)
		if e.Run != nil {
			all = append(all, e.Run.Manifest.Lab)
		}
	}
	return all
}

func testbedNames(cmd *cobra.Command) []string {
	all, err := netns.List(valueOf(cmd, "state-dir"))
	if err != nil {
		return nil
	}
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.Name
	}
	return names
}

// namespaceNames are the nodes and pods of the testbed that the command is about.
func namespaceNames(cmd *cobra.Command) []string {
	target := testbedTarget{name: valueOf(cmd, "name"), stateDir: valueOf(cmd, "state-dir")}
	name, err := target.resolve()
	if err != nil {
		return nil
	}
	tb, err := testbed.Attach(target.stateDir, name)
	if err != nil {
		return nil
	}
	return tb.Network().Namespaces()
}

// valueOf is the value of a flag; empty if the command has no such flag.
func valueOf(cmd *cobra.Command, flag string) string {
	if f := cmd.Flag(flag); f != nil {
		return f.Value.String()
	}
	return ""
}
