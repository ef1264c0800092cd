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
			folder, err := labs.Scaffold(dir, args[0])
			if err != nil {
				return usageError(err)
			}
			fmt.Fprintf(s.out, "%s\nrun it:        sudo dsrlab lab run %s\nhow to go on:  labs/README.md and labs/STEPS.md\n", folder, folder)
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "where the folder is made")
	return cmd
}
