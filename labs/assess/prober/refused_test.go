package prober

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies/netns"
)

// A machine without packet sockets, or without the right to open them, lacks something; what else goes wrong is no such thing.
func TestLacking(t *testing.T) {
	for _, err := range []error{unix.EPERM, unix.EAFNOSUPPORT} {
		var missing *netns.MissingError
		require.ErrorAs(t, lacking(fmt.Errorf("open probe agent: %w", err)), &missing)
		assert.Equal(t, "packet sockets", missing.Feature)
		assert.ErrorIs(t, missing, err)
		assert.NotEmpty(t, missing.How)
	}
	other := errors.New("too many open files")
	assert.Equal(t, other, lacking(other))
}
