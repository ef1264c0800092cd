package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/cmd/internal/usage"
	"github.com/dsrlab/dsrlab/internal/capability"
	"github.com/dsrlab/dsrlab/topologies/manifest"
)

// noArgs refuses arguments as bad usage.
func noArgs(cmd *cobra.Command, args []string) error { return asUsage(cobra.NoArgs(cmd, args)) }

// oneArg wants exactly one argument.
func oneArg(cmd *cobra.Command, args []string) error {
	return asUsage(usage.Args(cobra.ExactArgs(1))(cmd, args))
}

// minArgs wants n arguments or more.
func minArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		return asUsage(usage.Args(cobra.MinimumNArgs(n))(cmd, args))
	}
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

// unknown is a usage error about a name: what it should be the name of, and the names there are.
func unknown(what, name string, known []string) error {
	return usageError(fmt.Errorf("unknown %s %q%s", what, name, manifest.Suggest(name, known)))
}

// program is what the program was called by, as commands that are printed to be copied begin.
func program() string {
	if name := os.Args[0]; strings.HasPrefix(filepath.Base(name), "dsrlab") && !strings.HasSuffix(name, ".test") {
		return name
	}
	return "dsrlab"
}

// checkRunsDir refuses a folder that runs can't be recorded in. It may be missing, as the first run makes it. Writing: it is this
// user who will record there; who has yet to be told to use sudo need not be able to.
func checkRunsDir(dir string, writing bool) error {
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		switch {
		case (errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)) && at != filepath.Dir(at):
			continue
		case err == nil && !info.IsDir():
			err = fmt.Errorf("%s is a file (want a folder)", at)
		case err == nil && writing:
			if err = unix.Access(at, unix.W_OK|unix.X_OK); err != nil {
				err = fmt.Errorf("can't write to %s: %w", at, err)
			}
		}
		if err != nil {
			return fmt.Errorf("--runs: %w", err)
		}
		return nil
	}
}

// outputError is the error of a flag's file that can't be written.
func outputError(flag, file string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return usageError(fmt.Errorf("--%s: there is no folder %s to write %s in", flag, filepath.Dir(file), filepath.Base(file)))
	}
	return fmt.Errorf("--%s: %w", flag, err)
}

// requireRoot refuses, with exit code 3, what only root can do.
func requireRoot(what string) error {
	if os.Geteuid() == 0 {
		if lacking := capability.Lacking(capability.NetAdmin, capability.SysAdmin); len(lacking) > 0 {
			return unsupportedError(fmt.Errorf("%s needs %s", what, capability.Without(lacking)))
		}
		return nil
	}
	return unsupportedError(fmt.Errorf("%s needs root: network namespaces and BPF programs are made; run it with sudo", what))
}
