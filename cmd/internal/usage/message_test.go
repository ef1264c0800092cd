package usage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMessage(t *testing.T) {
	dir := t.TempDir()
	file, missing := filepath.Join(dir, "file"), filepath.Join(dir, "missing")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	circle := filepath.Join(dir, "circle")
	require.NoError(t, os.Symlink(circle, circle))
	open := func(name string) error {
		f, err := os.Open(name)
		if err == nil {
			_, err = f.Read(make([]byte, 1))
			f.Close()
		}
		return err
	}
	for want, err := range map[string]error{
		"read topology: " + missing + ": there is no such file or folder":                fmt.Errorf("read topology: %w", open(missing)),
		dir + ": it is a folder (want a file)":                                           open(dir),
		file + "/x: a part of this path is a file (want a folder)":                       open(file + "/x"),
		circle + ": its symbolic links lead round in a circle":                           open(circle),
		file + ": it is there already":                                                   os.Mkdir(file, 0o755),
		missing + "/x: there is no folder " + missing + " to make it in":                 os.Mkdir(missing+"/x", 0o755),
		missing + ": can't become " + file + ": there is no such file or folder":         os.Rename(missing, file),
		"a\nb: " + missing + ": there is no such file or folder\nc":                      errors.Join(errors.New("a"), fmt.Errorf("b: %w", open(missing)), errors.New("c")),
		"--config: which file configures it?":                                            errors.New("--config: which file configures it?"),
		"/dev/full: " + errors.Unwrap(writeFull(t)).Error() + ", or so says the machine": fmt.Errorf("%w, or so says the machine", writeFull(t)),
	} {
		assert.Equal(t, want, Message(err))
	}
}

func writeFull(t *testing.T) error {
	t.Helper()
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteString("x")
	require.Error(t, err)
	return err
}
