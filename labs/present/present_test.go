package present

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
)

var testLabs labtest.Labs

func TestMain(m *testing.M) { os.Exit(testLabs.Main(m)) }

// viewer is what a show is shown on: a pipe for keys, and a terminal that is looked at.
type viewer struct {
	t    *testing.T
	keys *io.PipeWriter
	mu   sync.Mutex
	// screen is drawn on in pieces: only what changes is drawn again.
	screen *vt.Emulator
	ended  chan error
	whole  bool
}

// Write does what the terminal's line discipline does to output: a line feed also goes back to the first column (termios, ONLCR).
func (v *viewer) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, err := v.screen.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n")))
	return len(p), err
}

// sees reports whether a text is on the screen, maybe on two lines.
func (v *viewer) sees(text string) bool {
	words := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	return strings.Contains(words(v.text()), words(text))
}

// text is what is on the screen.
func (v *viewer) text() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.screen.String()
}

// onStage shows a source.
func onStage(t *testing.T, source Source) *viewer { return onStageUntil(t.Context(), t, source) }

func onStageUntil(ctx context.Context, t *testing.T, source Source) *viewer {
	in, keys := io.Pipe()
	v := &viewer{t: t, keys: keys, screen: vt.NewEmulator(pipeWidth, pipeHeight), ended: make(chan error, 1)}
	go func() { _, _ = io.Copy(io.Discard, v.screen) }() // what the terminal answers
	t.Cleanup(func() { _ = v.screen.Close() })
	go func() {
		whole, err := Run(ctx, source, Options{In: in, Out: v})
		v.whole = whole
		v.ended <- err
	}()
	return v
}

// press presses a key, and waits until a text is on the screen.
func (v *viewer) press(key, want string) {
	v.t.Helper()
	if key != "" {
		_, err := v.keys.Write([]byte(key))
		require.NoError(v.t, err)
	}
	if !assert.Eventually(v.t, func() bool { return v.sees(want) }, time.Minute, 5*time.Millisecond) {
		require.FailNow(v.t, "not on the screen", "after %q: want %q in:\n%s", key, want, v.text())
	}
}

// scripted is a source whose steps are functions.
type scripted struct {
	steps []func(context.Context, Reporter) error
	ends  int
}

func (s *scripted) Lab() *labs.Lab { return nil }

func (s *scripted) Screens() []Screen {
	return []Screen{{Title: "one", Narration: "first things first", ByHand: []string{"do it"}}, {Title: "two", Phase: "p", Variant: "dsr"}}
}

func (s *scripted) Run(ctx context.Context, step int, r Reporter) error { return s.steps[step](ctx, r) }

func (s *scripted) End(context.Context) (results.Summary, error) {
	s.ends++
	return results.Summary{Lab: "99-test", Result: results.Failed, Reasons: []string{"for a reason"}}, nil
}

func (s *scripted) Note() string    { return "a rehearsal" }
func (s *scripted) Immediate() bool { return false }

func TestOnStage(t *testing.T) {
	s := &scripted{steps: []func(context.Context, Reporter) error{
		func(_ context.Context, r Reporter) error { r.Tell("evidence A"); return errors.New("went wrong") },
		func(_ context.Context, r Reporter) error { r.Tell("evidence B"); return nil },
	}}
	v := onStage(t, s)
	v.press("", "first things first")
	v.press(" ", "went wrong")
	v.press(" ", "two")
	v.press("\r", "evidence B")
	v.press("b", "evidence A")
	v.press("\x03", "quits and takes everything down")
	v.press("n", "two")
	v.press(" ", "for a reason")
	v.press("q", "")
	require.NoError(t, <-v.ended)
	assert.True(t, v.whole, "the show came to its end")
	assert.Equal(t, 1, s.ends)
}

// waiting is a step that runs until it is stopped.
func waiting(ctx context.Context, r Reporter) error {
	r.Trial("2 of 6, burst=3100b")
	r.Rate(90.1e6)
	<-ctx.Done()
	return ctx.Err()
}

func TestStopAndSkip(t *testing.T) {
	s := &scripted{steps: []func(context.Context, Reporter) error{waiting, waiting}}
	v := onStage(t, s)
	v.press("", "a rehearsal")
	v.press(" ", "2 of 6, burst=3100b")
	v.press("\x03", "failed:")
	v.press("r", "running")
	v.press("s", "two")
	v.press(" ", "90.1 Mbit/s")
	v.press("s", "for a reason")
	v.press("q", "")
	require.NoError(t, <-v.ended)
	assert.Equal(t, 1, s.ends)
}

func TestQuitWhileRunning(t *testing.T) {
	s := &scripted{steps: []func(context.Context, Reporter) error{waiting}}
	v := onStage(t, s)
	v.press("", "a rehearsal")
	v.press(" ", "running")
	v.press("q", "")
	require.NoError(t, <-v.ended)
	assert.False(t, v.whole)
	assert.Equal(t, 1, s.ends, "quitting ends the source, and waits for the step")
}

func TestEndOfContext(t *testing.T) {
	s := &scripted{steps: []func(context.Context, Reporter) error{waiting}}
	ctx, cancel := context.WithCancel(t.Context())
	v := onStageUntil(ctx, t, s)
	v.press("", "a rehearsal")
	v.press(" ", "running")
	cancel()
	require.ErrorIs(t, <-v.ended, context.Canceled)
	assert.False(t, v.whole)
	assert.Equal(t, 1, s.ends)
}

// TestRecorded plays a reference run.
func TestRecorded(t *testing.T) {
	run, err := results.Store{Reference: results.Reference()}.Find("01-source-ip")
	require.NoError(t, err)
	recorded := NewRecorded(run)
	v := onStage(t, recorded)
	v.press("", "RECORDED "+run.Manifest.Started.UTC().Format("2 January 2006"))
	v.press("", "[space] next")
	for i, screen := range recorded.screens[1:] {
		v.press(" ", fmt.Sprintf("%d of %d", i+2, len(recorded.screens)))
		v.press("", "[space] next")
		if screen.Variant == "kube-proxy" {
			assert.True(t, v.sees("the pod saw 85.217.172.142 100 times"))
		}
	}
	v.press(" ", "SNAT-2  ")
	v.press("q", "")
	require.NoError(t, <-v.ended)
}

// TestLive shows a lab while it runs, with a step that takes too long.
func TestLive(t *testing.T) {
	labPod := testLabs.Program(t, "labpod")
	folder, err := labs.Scaffold(t.TempDir(), "14-on-stage", "dsrlab")
	require.NoError(t, err)
	lab, err := labs.Find(folder)
	require.NoError(t, err)
	runner := labs.Runner{
		Testbed: testbed.Options{StateDir: testLabs.StateDir(t), LabPod: labPod}, RunsDir: t.TempDir(), Repetitions: 1,
	}
	live, err := NewLive(runner, lab, time.Minute)
	require.NoError(t, err)
	v := onStage(t, live)
	v.press("", "What does it answer?")
	v.press(" ", "[space] next")
	v.press(" ", "dsrlab trace client tcp-echo:tcp")
	live.timeout = time.Nanosecond
	v.press(" ", "failed:")
	live.timeout = time.Minute
	v.press("r", "the pod saw 85.217.172.142 20 times")
	v.press("", "[space] next") // a key that comes while a step runs does nothing
	v.press(" ", "first · dsr")
	v.press(" ", "the pod saw 1.2.3.4 20 times")
	v.press("", "[space] next")
	v.press(" ", "the pod saw the client in 100 % of calls")
	v.press("q", "")
	require.NoError(t, <-v.ended)
	assert.Equal(t, results.Passed, live.Summary().Result)
}
