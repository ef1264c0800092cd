package main

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/cmd/internal/usage/usagetest"
)

func TestHelpFits(t *testing.T) {
	usagetest.HelpFits(t, func() *cobra.Command {
		return newRootCommand(streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard})
	})
}
