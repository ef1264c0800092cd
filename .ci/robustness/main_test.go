package main

import (
	"bytes"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestOptions(t *testing.T) {
	var progress bytes.Buffer
	code := run(t.Context(), []string{"-n", "0", "--timeout", "0s", "--disturb", "busy-0 noisy", "99-nothing"}, &progress, &progress)
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, progress.String(), `robustness: -n: found 0 (want at least 1)
--timeout: found 0s (want more than 0)
--disturb: unknown disturbance "busy-0" (want none, busy-N, busy-all or one-cpu)
--disturb: unknown disturbance "noisy" (want none, busy-N, busy-all or one-cpu)
unknown lab "99-nothing" (want 01-source-ip, `)

	progress.Reset()
	assert.Equal(t, exitUsage, run(t.Context(), []string{"--disturb", " "}, &progress, &progress))
	assert.Equal(t, "robustness: --disturb: found nothing (want none for an idle machine)\n", progress.String())

	progress.Reset()
	assert.Equal(t, exitNotRun, run(t.Context(), []string{"--dsrlab", t.TempDir() + "/dsrlab"}, &progress, &progress))
	assert.Regexp(t, "^robustness: find the program that runs labs: stat .*/dsrlab: no such file or directory; `make build` makes it\n$", progress.String())
}

func TestDisturbances(t *testing.T) {
	for name, want := range map[string]disturbance{
		"none": {name: "none"}, "busy-1": {name: "busy-1", loops: 1}, "busy-12": {name: "busy-12", loops: 12},
		"busy-all": {name: "busy-all", loops: runtime.NumCPU()}, "one-cpu": {name: "one-cpu", oneCPU: true},
	} {
		d, err := parseDisturbance(name)
		require.NoError(t, err)
		assert.Equal(t, want, d)
	}
}

// TestSpin: the loops take processor time until they are stopped.
func TestSpin(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	var used unix.Rusage
	stop := spin(2)
	assert.Eventually(t, func() bool {
		require.NoError(t, unix.Getrusage(unix.RUSAGE_SELF, &used))
		return used.Utime.Nano() > int64(100*time.Millisecond)
	}, 10*time.Second, time.Millisecond)
	stop()
	assert.Equal(t, before, runtime.GOMAXPROCS(0))
}

// TestOneCPU: what is started has CPU 0 only, and this program keeps what it had.
func TestOneCPU(t *testing.T) {
	var before, after unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(0, &before))
	if !before.IsSet(0) {
		t.Skip("needs CPU 0, which this process may not use")
	}
	for _, test := range []struct {
		d    disturbance
		want func(string)
	}{
		{disturbance{oneCPU: true}, func(allowed string) { assert.Equal(t, "Cpus_allowed_list:\t0\n", allowed) }},
		{disturbance{}, func(allowed string) { assert.Contains(t, allowed, "Cpus_allowed_list:\t0") }},
	} {
		var out bytes.Buffer
		cmd := exec.Command("grep", "Cpus_allowed_list", "/proc/self/status")
		cmd.Stdout = &out
		require.NoError(t, test.d.start(cmd))
		require.NoError(t, cmd.Wait())
		test.want(out.String())
	}
	require.NoError(t, unix.SchedGetaffinity(0, &after))
	assert.Equal(t, before, after)
}
