package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBadUsage(t *testing.T) {
	for want, args := range map[string][]string{
		"campaign: found no campaign (want crash, chaos, soak or fresh)":                   {},
		`campaign: unknown campaign "crsh" (want crash, chaos, soak or fresh)`:             {"crsh"},
		"campaign: -n: found 0 (want at least 1)":                                          {"crash", "-n", "0"},
		"campaign: -duration: found -1s (want more than 0)":                                {"soak", "-duration", "-1s"},
		`campaign: found "now" after the options (want nothing)`:                           {"chaos", "now"},
		"campaign: -n: found -3 (want at least 1)\n-duration: found 0s (want more than 0)": {"crash", "-n", "-3", "-duration", "0s"},
	} {
		var out, progress bytes.Buffer
		assert.Equal(t, exitUsage, run(t.Context(), args, &out, &progress))
		assert.Equal(t, want, strings.TrimSpace(progress.String()))
		assert.Empty(t, out.String())
	}
}

// TestReport: a case in which more failed than may is a problem, and what is saved is whole.
func TestReport(t *testing.T) {
	r := newReport("chaos", 7, "abc")
	r.add(outcome{Case: "a link", Tried: 40, Unit: "connections", Why: "TCP"})
	assert.Empty(t, r.Problems)
	r.add(outcome{Case: "a pod", Tried: 40, Unit: "connections", Failed: 10, Bound: 10})
	assert.Empty(t, r.Problems)
	r.add(outcome{Case: "a node", Tried: 40, Unit: "connections", Failed: 1, Why: "takeover"})
	assert.Equal(t, []string{"a node: 1 of 40 connections failed (want 0 at most: takeover)"}, r.Problems)
	file := filepath.Join(t.TempDir(), "new", "chaos.json")
	require.NoError(t, r.save(file))
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Contains(t, string(data), `"seed": 7`)
	var shown bytes.Buffer
	r.write(&shown)
	assert.Contains(t, shown.String(), "PROBLEM: a node: 1 of 40 connections failed")
}

func TestDifference(t *testing.T) {
	assert.Equal(t, "gone: b, new: d", difference("a\nb\nc", "a\nc\nd"))
	assert.Empty(t, difference("a", "a"))
}

// TestVerdict: which ends of a command are as they should be.
func TestVerdict(t *testing.T) {
	exited := func(code int) syscall.WaitStatus { return syscall.WaitStatus(code << 8) }
	state := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(state, "crash"), 0o700))
	c := &crash{options: &options{}, state: state}
	up, status := command{builds: "crash"}, command{}
	for name, test := range map[string]struct {
		command command
		status  syscall.WaitStatus
		signal  syscall.Signal
		story   string
		stood   []string
		want    string
	}{
		"done before":       {up, exited(0), syscall.SIGINT, "", nil, ""},
		"interrupted":       {status, exited(130), syscall.SIGINT, "", nil, ""},
		"closed terminal":   {status, exited(129), syscall.SIGHUP, "", nil, ""},
		"stood before":      {up, exited(130), syscall.SIGINT, "", []string{"crash"}, ""},
		"killed":            {up, syscall.WaitStatus(syscall.SIGKILL), syscall.SIGKILL, "", nil, ""},
		"left something":    {up, exited(130), syscall.SIGINT, "", nil, "exit status 130, and it left the testbed crash"},
		"not handled":       {up, syscall.WaitStatus(syscall.SIGHUP), syscall.SIGHUP, "", nil, "exit status 129, and it left the testbed crash"},
		"not yet handled":   {status, syscall.WaitStatus(syscall.SIGHUP), syscall.SIGHUP, "", nil, ""},
		"of another signal": {up, exited(130), syscall.SIGTERM, "a\nb\n", nil, "exit status 130 (want 143, or 0 to 4 if it was done): b"},
		"unknown status":    {up, exited(7), 0, "", nil, "exit status 7 (want 128, or 0 to 4 if it was done): "},
		"panic":             {up, exited(2), syscall.SIGTERM, "goroutine 1", nil, "it panicked: goroutine 1"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.verdict(test.command, test.status, test.signal, test.story, test.stood)
			if test.want == "" {
				assert.NoError(t, err)
			} else {
				assert.EqualError(t, err, test.want)
			}
		})
	}
}

// TestSeedDecides: the same seed makes the same choices.
func TestSeedDecides(t *testing.T) {
	order := func(seed uint64) (names []string) {
		all := disasters()
		(&options{seed: seed}).random().Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, d := range all {
			names = append(names, d.name)
		}
		return names
	}
	assert.Equal(t, order(1), order(1))
	assert.NotEqual(t, order(1), order(2))
}

func TestCommands(t *testing.T) {
	for _, c := range commands("/d", "/s") {
		assert.Positive(t, c.most, c.args)
		assert.Less(t, c.most, time.Minute, c.args)
	}
}

func TestDatagram(t *testing.T) {
	assert.Equal(t, []byte{
		0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 168, 1, 2, 185, 150, 8, 128,
		0x12, 0x34, 0x1f, 0x90, 0, 8, 0, 0,
	}, datagram([4]byte{192, 168, 1, 2}, [4]byte{185, 150, 8, 128}, 0x1234, 8080, nil))
}
