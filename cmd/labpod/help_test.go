package main

import (
	"io"
	"testing"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/cmd/internal/usage/usagetest"
)

func TestHelpFits(t *testing.T) {
	usagetest.HelpFits(t, func() *cobra.Command { return newRootCommand(streams{out: io.Discard, err: io.Discard}) })
}
