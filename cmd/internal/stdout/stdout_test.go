package stdout

import (
	"bytes"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The first error counts, and nothing is written after it: no half of a line follows the other half of another.
func TestWriter(t *testing.T) {
	var to failing
	o := New(&to, nil)
	_, err := o.Write([]byte("a"))
	require.NoError(t, err)
	to.err = &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EIO}
	_, err = o.Write([]byte("b"))
	require.EqualError(t, err, "write standard output: input/output error")
	to.err = nil
	_, err = o.Write([]byte("c"))
	require.EqualError(t, err, "write standard output: input/output error")
	require.EqualError(t, o.Close(), "write standard output: input/output error")
	assert.Equal(t, "a", to.String())

	closed := New(io.Discard, nil)
	require.NoError(t, closed.Close())
	_, err = closed.Write(nil)
	assert.True(t, errors.Is(err, os.ErrClosed))
}

type failing struct {
	bytes.Buffer
	err error
}

func (f *failing) Write(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return f.Buffer.Write(p)
}
