package main

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestOptions(t *testing.T) {
	var progress bytes.Buffer
	code := run(t.Context(), []string{"--kernels", "woody,trixie", "--accel", "hvf", "--timeout", "0s", "--cache", t.TempDir()}, &progress, &progress)
	assert.Equal(t, exitUsage, code)
	assert.Equal(t, `kernels: no package given: want one or more, such as ./dataplane
accel "hvf": want auto, kvm or tcg
timeout 0s: must be more than 0
kernel "woody": want one of bookworm, trixie, newest
`, progress.String())
}

func TestNotTested(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var out, progress bytes.Buffer
	assert.Equal(t, exitNotTested, run(t.Context(), []string{"./dataplane"}, &out, &progress))
	assert.Contains(t, out.String(), "NOT TESTED: qemu-system-x86_64 is missing (in Debian: apt-get install qemu-system-x86)")
}

func TestReport(t *testing.T) {
	passed := result{kernel: "trixie", version: "6.12.1-1", suite: "trixie", accelerator: "tcg", took: 30 * time.Second, verdict: verdict{release: "6.12.1+deb13", passed: 55}}
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
┌──────────┬──────────────┬──────────┬────────┬────────┬─────────┬──────┬──────┬────────────┐
│ KERNEL   │ RELEASE      │ SUITE    │ PASSED │ FAILED │ SKIPPED │ TIME │ QEMU │ RESULT     │
├──────────┼──────────────┼──────────┼────────┼────────┼─────────┼──────┼──────┼────────────┤
│ bookworm │ 6.1.0-9      │ bookworm │     53 │      1 │       1 │   0s │ kvm  │ FAILED     │
│ trixie   │ 6.12.1+deb13 │ trixie   │     55 │      0 │       0 │  30s │ tcg  │ passed     │
│ newest   │              │          │      0 │      0 │       0 │   0s │      │ NOT TESTED │
└──────────┴──────────────┴──────────┴────────┴────────┴─────────┴──────┴──────┴────────────┘
`, out.String())
}
