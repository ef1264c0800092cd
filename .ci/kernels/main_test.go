package main

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOptions(t *testing.T) {
	var progress bytes.Buffer
	code := run(t.Context(), []string{"--kernels", "woody,trixie", "--accel", "hvf", "--timeout", "0s", "--demo", "maybe", "--cache", t.TempDir()}, &progress, &progress)
	assert.Equal(t, exitUsage, code)
	assert.Equal(t, `kernels: demo "maybe": want yes, no or only
accel "hvf": want auto, kvm or tcg
timeout 0s: must be more than 0
kernel "woody": want one of bookworm, trixie, newest
`, progress.String())
}

func TestDemoOption(t *testing.T) {
	cache := t.TempDir()
	for _, test := range []struct {
		demo, err string
		patterns  []string
		wantDemo  bool
		want      []string
	}{
		{demo: "yes", patterns: []string{"./dataplane"}, wantDemo: true, want: []string{"./dataplane"}},
		{demo: "no", patterns: []string{"./dataplane"}, want: []string{"./dataplane"}},
		{demo: "only", patterns: []string{"./dataplane"}, wantDemo: true},
		{demo: "only", wantDemo: true},
		{demo: "yes", err: "no package given: want one or more, such as ./dataplane"},
	} {
		o, err := parseOptions(append([]string{"--cache", cache, "--demo", test.demo}, test.patterns...), io.Discard)
		if test.err != "" {
			assert.EqualError(t, err, test.err)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, test.want, o.patterns)
		assert.Equal(t, test.wantDemo, len(o.demos()) > 0)
	}
}

func TestTestTimeout(t *testing.T) {
	assert.Equal(t, 18*time.Minute, testTimeout(20*time.Minute, false))
	assert.Equal(t, 18*time.Minute, testTimeout(35*time.Minute, true), "the demo has its own time")
	assert.Equal(t, 9*time.Minute, testTimeout(10*time.Minute, true))
}

func TestNotTested(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var out, progress bytes.Buffer
	assert.Equal(t, exitNotTested, run(t.Context(), []string{"./dataplane"}, &out, &progress))
	assert.Contains(t, out.String(), "NOT TESTED: qemu-system-x86_64 is missing (in Debian: apt-get install qemu-system-x86)")
}

func TestReport(t *testing.T) {
	passed := result{kernel: "trixie", version: "6.12.1-1", suite: "trixie", accelerator: "tcg", took: 30 * time.Second, verdict: verdict{release: "6.12.1+deb13", passed: 55, demo: "6 of 6, scale 1/5"}}
	failed := result{kernel: "bookworm", version: "6.1.9-1", suite: "bookworm", accelerator: "kvm", verdict: verdict{
		release: "6.1.0-9", passed: 53, failures: []finding{{"dataplane.TestA", "failed", "invalid access\nto packet"}},
		skipped: []finding{{"dataplane.TestB", "skipped", "needs Linux 6.6: TCX"}},
	}}
	lost := result{kernel: "newest", err: errors.New("fetch: no network")}
	for _, test := range []struct {
		results []result
		want    int
	}{
		{[]result{passed}, exitPassed},
		{[]result{passed, lost}, exitNotTested},
		{[]result{lost, failed}, exitFailed},
		{[]result{failed, lost}, exitFailed},
	} {
		assert.Equal(t, test.want, report(&bytes.Buffer{}, test.results))
	}
	var out bytes.Buffer
	report(&out, []result{failed, passed, lost})
	assert.Equal(t, `bookworm: dataplane.TestB: skipped
    needs Linux 6.6: TCX
bookworm: dataplane.TestA: failed
    invalid access
    to packet
NOT TESTED on newest: fetch: no network
┌──────────┬──────────────┬──────────┬────────┬────────┬─────────┬───────────────────┬──────┬──────┬────────────┐
│ KERNEL   │ RELEASE      │ SUITE    │ PASSED │ FAILED │ SKIPPED │ DEMO              │ TIME │ QEMU │ RESULT     │
├──────────┼──────────────┼──────────┼────────┼────────┼─────────┼───────────────────┼──────┼──────┼────────────┤
│ bookworm │ 6.1.0-9      │ bookworm │     53 │      1 │       1 │                   │   0s │ kvm  │ FAILED     │
│ trixie   │ 6.12.1+deb13 │ trixie   │     55 │      0 │       0 │ 6 of 6, scale 1/5 │  30s │ tcg  │ passed     │
│ newest   │              │          │      0 │      0 │       0 │                   │   0s │      │ NOT TESTED │
└──────────┴──────────────┴──────────┴────────┴────────┴─────────┴───────────────────┴──────┴──────┴────────────┘
`, out.String())
}

// TestConclude: what was found before an interruption is said.
func TestConclude(t *testing.T) {
	failed := result{kernel: "bookworm", verdict: verdict{failures: []finding{{"dataplane.TestA", "failed", "invalid access"}}}}
	passed := result{kernel: "trixie", verdict: verdict{passed: 55}}
	interrupted := errors.New("interrupted")
	var out bytes.Buffer
	assert.Equal(t, exitFailed, conclude(&out, []result{failed}, interrupted))
	assert.Contains(t, out.String(), "bookworm: dataplane.TestA: failed")
	assert.Contains(t, out.String(), "NOT TESTED: interrupted")
	assert.Equal(t, exitNotTested, conclude(&out, []result{passed}, interrupted))
	assert.Equal(t, exitPassed, conclude(&out, []result{passed}, nil))
	out.Reset()
	assert.Equal(t, exitNotTested, conclude(&out, nil, interrupted))
	assert.Equal(t, "NOT TESTED: interrupted\n", out.String())
}
