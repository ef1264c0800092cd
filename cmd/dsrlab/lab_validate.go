package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs"
)

func newLabValidateCommand(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "validate LAB|FILE...",
		Short: "Check lab files, and report everything that is wrong with them by line",
		Long: `Checks labs of the catalogue by their names, and others by their folders or files, without running anything: fields, names of the
topology's nodes, pods, services and ports, variants, and that every metric which is expected is measured under these labels.`,
		Args: minArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var errs []error
			for _, arg := range args {
				lab, err := labs.Find(arg)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				fmt.Fprintf(s.out, "%s: lab %s is valid\n", arg, lab.Metadata.Name)
			}
			if len(errs) > 0 {
				return usageError(errors.Join(errs...))
			}
			return nil
		},
	}
}
