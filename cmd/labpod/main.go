// Command labpod runs in pods and clients. It wraps the servers and clients of labs/workload.
package main

import (
	"context"
	"os"

	"github.com/dsrlab/dsrlab/cmd/internal/interrupt"
)

func main() {
	ctx, stop := interrupt.Notify(context.Background())
	code := run(ctx, os.Args[1:], streams{out: os.Stdout, err: os.Stderr})
	stop()
	os.Exit(code)
}
