package interrupt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// helper makes this program a command that says when it is ready, when it is interrupted, and when its standard input has ended.
const helper = "DSRLAB_TEST_INTERRUPT"

func TestMain(m *testing.M) {
	switch os.Getenv(helper) {
	case "":
		os.Exit(m.Run())
	case "nohup":
		signal.Ignore(syscall.SIGHUP)
	}
	ctx, stop := Notify(context.Background())
	fmt.Println("ready")
	go func() {
		<-ctx.Done()
		fmt.Println(context.Cause(ctx))
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
	code := 0
	if e := Of(ctx); e != nil {
		code = e.ExitCode()
	}
	stop()
	os.Exit(code)
}

// started is the helper, and what it says.
type started struct {
	*exec.Cmd
	in    io.Closer
	lines *bufio.Scanner
}

func start(t *testing.T, mode string) started {
	t.Helper()
	signals := make(chan os.Signal, 1) // or the helper inherits that they are ignored, where the test runs in the background
	signal.Notify(signals, syscall.SIGINT, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(signals) })
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helper+"="+mode)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	s := started{cmd, in, bufio.NewScanner(out)}
	s.says(t, "ready")
	return s
}

func (s started) says(t *testing.T, want string) {
	t.Helper()
	require.True(t, s.lines.Scan())
	assert.Equal(t, want, s.lines.Text())
}

func (s started) code() int {
	var exit *exec.ExitError
	if errors.As(s.Wait(), &exit) {
		return exit.ExitCode()
	}
	return 0
}

func TestNotify(t *testing.T) {
	for s, want := range map[syscall.Signal]struct {
		says string
		code int
	}{
		syscall.SIGINT:  {"interrupted by SIGINT", 130},
		syscall.SIGTERM: {"interrupted by SIGTERM", 143},
		syscall.SIGHUP:  {"interrupted by SIGHUP", 129},
	} {
		t.Run(want.says, func(t *testing.T) {
			p := start(t, "command")
			require.NoError(t, p.Process.Signal(s))
			p.says(t, want.says)
			// As closed terminals and systemd do: it still cleans up.
			require.NoError(t, p.Process.Signal(syscall.SIGHUP))
			require.NoError(t, p.Process.Signal(syscall.SIGTERM))
			require.NoError(t, p.in.Close())
			assert.Equal(t, want.code, p.code())
		})
	}
	t.Run("nothing", func(t *testing.T) {
		p := start(t, "command")
		require.NoError(t, p.in.Close())
		assert.Zero(t, p.code())
	})
	t.Run("again", func(t *testing.T) { // its input never ends
		p := start(t, "command")
		require.NoError(t, p.Process.Signal(syscall.SIGTERM))
		p.says(t, "interrupted by SIGTERM")
		require.NoError(t, p.Process.Signal(syscall.SIGINT))
		assert.Equal(t, 130, p.code())
	})
	t.Run("nohup", func(t *testing.T) {
		p := start(t, "nohup")
		require.NoError(t, p.Process.Signal(syscall.SIGHUP))
		require.NoError(t, p.in.Close())
		assert.Zero(t, p.code())
	})
}

func TestError(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	assert.Nil(t, Of(ctx))
	cancel(&Error{syscall.SIGINT})
	assert.Equal(t, syscall.SIGINT, Of(ctx).Signal)
	assert.ErrorIs(t, context.Cause(ctx), context.Canceled)
	other, stop := context.WithCancel(t.Context())
	stop()
	assert.Nil(t, Of(other))
}
