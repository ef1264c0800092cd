package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs"
)

func newLabNewCommand(s streams) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "new NN-NAME", Short: "Begin a lab of your own: a folder with a lab.yaml that runs, and a README", Args: oneArg,
		RunE: func(_ *cobra.Command, args []string) error {
			folder, err := labs.Scaffold(dir, args[0], program())
			if err != nil {
				return usageError(err)
			}
			fmt.Fprintf(s.out, "%[1]s\ncheck it:      %[2]s lab validate %[1]s\nrun it:        sudo %[2]s lab run %[1]s\nhow to go on:  labs/README.md and labs/STEPS.md\n", folder, program())
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "where the folder is made")
	return cmd
}
