package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/dataplane/kube/image"
	"github.com/dsrlab/dsrlab/labs/terminal"
)

func newImageCommand(s streams) *cobra.Command {
	var output, tag string
	cmd := &cobra.Command{
		Use: "image", Short: "Write the container image of these programs, for `docker load` and `kind load image-archive`",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find programs: %w", err)
			}
			folder := filepath.Dir(self)
			if output == "-" {
				if terminal.Columns(s.out) > 0 {
					return usageError(errors.New("--write: refusing to write an archive to a terminal (want a file, or a pipe into docker load)"))
				}
				return image.Write(cmd.Context(), s.out, tag, folder)
			}
			return writeImage(cmd.Context(), output, tag, folder)
		},
	}
	cmd.Flags().StringVarP(&output, "write", "w", "-", "file to write; - is standard output")
	cmd.Flags().StringVarP(&output, "output", "o", "-", "as --write")
	_ = cmd.Flags().MarkHidden("output") // what --write was called here
	cmd.Flags().StringVar(&tag, "tag", image.DefaultTag, "name of the image")
	return cmd
}

// writeImage leaves no half an archive.
func writeImage(ctx context.Context, output, tag, folder string) error {
	if err := mustUndo(ctx); err != nil {
		return err
	}
	file, err := renameio.NewPendingFile(output, renameio.WithTempDir(filepath.Dir(output)))
	if err != nil {
		return outputError("write", output, err)
	}
	if err = image.Write(ctx, file, tag, folder); err == nil {
		err = file.CloseAtomicallyReplace()
	}
	return errors.Join(err, file.Cleanup())
}
