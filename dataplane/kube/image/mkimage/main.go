// Command mkimage writes the container image of programs that were built for Linux. Unlike them it also runs on macOS and Windows.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/dsrlab/dsrlab/dataplane/kube/image"
)

func main() {
	output := flag.String("o", "dsrlab-image.tar", "file to write")
	tag := flag.String("tag", image.DefaultTag, "name of the image")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: mkimage [-o FILE] [-tag NAME] FOLDER")
		os.Exit(2)
	}
	if err := write(*output, *tag, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		os.Exit(1)
	}
}

// write leaves no half an archive.
func write(output, tag, folder string) error {
	file, err := os.Create(output + ".new")
	if err != nil {
		return err
	}
	err = errors.Join(image.Write(context.Background(), file, tag, folder), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), output)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}
