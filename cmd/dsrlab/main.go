// Command dsrlab builds, measures and explains the lab. Every command has a file of its own; this one only starts them.
package main

import (
	"context"
	"os"

	"github.com/dsrlab/dsrlab/cmd/internal/interrupt"
)

func main() {
	ctx, stop := interrupt.Notify(context.Background())
	code := run(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr})
	stop()
	os.Exit(code)
}
