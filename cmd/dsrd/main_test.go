package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/cmd/internal/usage/usagetest"
)

func TestHelpFits(t *testing.T) {
	usagetest.HelpFits(t, func() *cobra.Command { return newCommand(io.Discard) })
}

func TestBadFiles(t *testing.T) {
	for args, want := range map[string]string{
		"--node a --config /missing/x": "dsrd: read configuration: /missing/x: there is no such file or folder\n",
		"--node a --config /":          "dsrd: read configuration: /: it is a folder (want a file)\n",
	} {
		var log bytes.Buffer
		assert.Equal(t, 2, run(t.Context(), strings.Fields(args), io.Discard, &log))
		assert.Equal(t, want, log.String())
	}
}
