package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/dsrlab/dsrlab/dataplane/kube/image"
)

func newImageCommand(s streams) *cobra.Command {
	var output, tag string
	cmd := &cobra.Command{
		Use: "image", Short: "Write the container image of these programs, for `docker load` and `kind load image-archive`",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find programs: %w", err)
			}
			folder := filepath.Dir(self)
			if output == "-" {
				if f, ok := s.out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
					return usageError(errors.New("--output: refusing to write an archive to a terminal (want a file, or a pipe into docker load)"))
				}
				return image.Write(s.out, tag, folder)
			}
			return writeImage(output, tag, folder)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "-", "file to write; - is standard output")
	cmd.Flags().StringVar(&tag, "tag", image.DefaultTag, "name of the image")
	return cmd
}

// writeImage leaves no half an archive.
func writeImage(output, tag, folder string) error {
	file, err := os.CreateTemp(filepath.Dir(output), ".dsrlab-image-*")
	if err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	err = errors.Join(image.Write(file, tag, folder), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), output)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}
