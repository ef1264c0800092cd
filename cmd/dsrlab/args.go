package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/topologies/manifest"
)

// noArgs refuses arguments as bad usage.
func noArgs(cmd *cobra.Command, args []string) error { return asUsage(cobra.NoArgs(cmd, args)) }

// oneArg wants exactly one argument.
func oneArg(cmd *cobra.Command, args []string) error { return asUsage(cobra.ExactArgs(1)(cmd, args)) }

// minArgs wants n arguments or more.
func minArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error { return asUsage(cobra.MinimumNArgs(n)(cmd, args)) }
}

func asUsage(err error) error {
	if err == nil {
		return nil
	}
	return usageError(err)
}

// group makes a command of commands: by itself it shows its help, and an unknown command is bad usage.
func group(cmd *cobra.Command, commands ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(commands...)
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		var names []string
		for _, c := range cmd.Commands() {
			names = append(names, c.Name())
		}
		return usageError(fmt.Errorf("unknown command %q for %q%s", args[0], cmd.CommandPath(), manifest.Suggest(args[0], names)))
	}
	return cmd
}

// outputFlag adds -o to a command that lists something.
func outputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", "table", "format: table, json or yaml")
}

// anyOf lists what a flag accepts, for error messages: "a, b or c".
func anyOf(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// requireRoot refuses, with exit code 3, what only root can do.
func requireRoot(what string) error {
	if os.Geteuid() == 0 {
		return nil
	}
	return unsupportedError(fmt.Errorf("%s needs root: network namespaces and BPF programs are made; run it with sudo", what))
}
