package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/topologies/lockfile"
)

// waitFlag is --wait, of commands that need a testbed, or the machine, for themselves.
type waitFlag bool

func (w *waitFlag) flag(cmd *cobra.Command) {
	cmd.Flags().BoolVar((*bool)(w), "wait", false, "wait for another dsrlab that uses the testbed or measures on this machine (default: exit with status 2)")
}

// waiting tells what is waited for; nil means not to wait.
func (w *waitFlag) waiting(s streams) lockfile.Waiting {
	if !*w {
		return nil
	}
	return func(held *lockfile.HeldError) { fmt.Fprintf(s.err, "waiting: %s by %s\n", held.What, held.Holder) }
}
