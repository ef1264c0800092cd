package lockfile

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/topologies/proc"
)

// holdVariable tells the test binary to hold the lock of this file until its input ends.
const holdVariable = "DSRLAB_TEST_HOLD"

func TestMain(m *testing.M) {
	if path := os.Getenv(holdVariable); path != "" {
		if _, err := Take(context.Background(), path, "it is in use", nil); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		_, _ = io.ReadAll(os.Stdin)
		os.Exit(0) // without Release, as if it was killed
	}
	os.Exit(m.Run())
}

// hold has another process hold a lock.
func hold(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "up", "-f", "talk")
	cmd.Env = append(os.Environ(), holdVariable+"="+path)
	_, err := cmd.StdinPipe() // stays open
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "held\n", line)
	return cmd
}

// A lock whose file was removed, with the folder that it was in, is nobody's: its release leaves who has that name now alone.
func TestReleaseLeavesOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "talk", "tracing.lock")
	old, err := Take(t.Context(), path, "it is in use", nil)
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(filepath.Dir(path)))
	now, err := Take(t.Context(), path, "it is in use", nil)
	require.NoError(t, err)
	old.Release()
	_, err = Take(t.Context(), path, "it is in use", nil)
	assert.ErrorAs(t, err, new(*HeldError))
	now.Release()
	assert.NoFileExists(t, path)
}

func TestTakeHeld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "talk.lock")
	holder := hold(t, path)
	_, err := Take(t.Context(), path, "testbed talk is in use", nil)
	var held *HeldError
	require.ErrorAs(t, err, &held)
	assert.Equal(t, holder.Process.Pid, held.Holder.PID)
	command := filepath.Base(os.Args[0]) + " up -f talk"
	assert.Equal(t, command, held.Holder.Command)
	assert.WithinDuration(t, time.Now(), held.Holder.Since, time.Minute)
	assert.Regexp(t, fmt.Sprintf("^testbed talk is in use by `%s` \\(process %d, since .*[0-9]{2}:[0-9]{2}:[0-9]{2}\\): "+
		"try again when that has ended, or wait for it with --wait$", command, holder.Process.Pid), err.Error())
	named, ok := HolderOf(path)
	assert.True(t, ok)
	assert.Equal(t, held.Holder, named)

	require.NoError(t, holder.Process.Signal(syscall.SIGSTOP))
	require.Eventually(t, func() bool {
		p, err := proc.Read(holder.Process.Pid)
		return err == nil && p.Stopped()
	}, time.Minute, time.Millisecond)
	assert.Contains(t, held.Error(), fmt.Sprintf(", stopped: `kill -CONT %d` continues it)", holder.Process.Pid))

	require.NoError(t, holder.Process.Kill())
	_ = holder.Wait()
	_, ok = HolderOf(path)
	assert.False(t, ok, "it has ended")
	l, err := Take(t.Context(), path, "", nil)
	require.NoError(t, err, "the lock ends with its holder")
	named, _ = HolderOf(path)
	assert.Equal(t, os.Getpid(), named.PID)
	l.Release()
	assert.NoFileExists(t, path)
}

func TestTakeWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "talk.lock")
	holder := hold(t, path)
	calls := 0
	l, err := Take(t.Context(), path, "testbed talk is in use", func(held *HeldError) {
		calls++
		assert.Equal(t, holder.Process.Pid, held.Holder.PID)
		assert.NoError(t, holder.Process.Kill())
	})
	require.NoError(t, err)
	defer l.Release()
	assert.Equal(t, 1, calls)

	ctx, cancel := context.WithCancelCause(t.Context())
	_, err = Take(ctx, path, "testbed talk is in use", func(*HeldError) { cancel(errors.New("interrupted")) })
	assert.EqualError(t, err, "wait while testbed talk is in use: interrupted")
}

// A lock whose file was removed keeps nobody out: who opened it before must look again.
func TestTakeRemovedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "talk.lock")
	first, err := Take(t.Context(), path, "", nil)
	require.NoError(t, err)
	stale, err := os.Open(path)
	require.NoError(t, err)
	defer stale.Close()
	first.Release()
	assert.False(t, isSameFile(stale, path))
	second, err := Take(t.Context(), path, "", nil)
	require.NoError(t, err)
	defer second.Release()
	assert.False(t, isSameFile(stale, path))
	_, err = Take(t.Context(), path, "", nil)
	assert.ErrorAs(t, err, new(*HeldError))
}

func TestHolderOf(t *testing.T) {
	self, err := proc.Read(os.Getpid())
	require.NoError(t, err)
	of := func(h Holder) string {
		document, err := json.Marshal(h)
		require.NoError(t, err)
		return string(document)
	}
	for _, c := range []struct {
		name, content string
		want          bool
	}{
		{"of this process", of(Holder{PID: os.Getpid(), Start: self.Start}), true},
		{"of an earlier process of the same ID", of(Holder{PID: os.Getpid(), Start: self.Start - 1}), false},
		{"empty", "", false},
		{"cut short", `{"pid":1,"sta`, false},
		{"of no process", `{"pid":-1}`, false},
		{"long", `{"pid":1}` + strings.Repeat(" ", 10000), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "lock")
			require.NoError(t, os.WriteFile(path, []byte(c.content), 0o644))
			_, ok := HolderOf(path)
			assert.Equal(t, c.want, ok)
		})
	}
	_, ok := HolderOf(t.TempDir())
	assert.False(t, ok, "a folder")
	fifo := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	_, ok = HolderOf(fifo)
	assert.False(t, ok, "a FIFO, which nobody writes to")
	assert.Equal(t, "another process", Holder{}.String())
}
