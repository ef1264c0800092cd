package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/.ci/kernels/guest"
)

func events(all ...string) []event {
	var events []event
	for i := 0; i < len(all); i += 2 {
		events = append(events, event{Action: all[i], Test: all[i+1]})
	}
	return events
}

func says(test, text string) event { return event{Action: "output", Test: test, Output: text} }

func TestVerdict(t *testing.T) {
	ended, failed := guest.Run{Package: "p", Ended: true}, guest.Run{Package: "p", Ended: true, Status: 1}
	for _, test := range []struct {
		name   string
		run    guest.Run
		events []event
		want   verdict
	}{
		{"passed", ended, events("run", "TestA", "run", "TestA/x", "pass", "TestA/x", "pass", "TestA", "pass", ""), verdict{passed: 2}},
		{"failed", failed, append(events("run", "TestA", "run", "TestB", "pass", "TestB", "fail", "TestA"),
			says("TestA", "=== RUN   TestA\n"), says("TestA", "    a_test.go:1: wrong\n"), says("TestA", "--- FAIL: TestA (0.00s)\n")),
			verdict{passed: 1, failures: []finding{{"p.TestA", "failed", "    a_test.go:1: wrong"}}}},
		{"failed below", failed, events("run", "TestA", "run", "TestA/x", "fail", "TestA/x", "fail", "TestA"),
			verdict{failures: []finding{{"p.TestA/x", "failed", ""}}}},
		{"stopped in a test", guest.Run{Package: "p"}, append(events("run", "TestA", "pass", "TestA", "run", "TestB"), says("TestB", "busy\n")),
			verdict{passed: 1, failures: []finding{{"p.TestB", "did not end", "busy"}}}},
		{"stopped between tests", guest.Run{Package: "p"}, events("run", "TestA", "pass", "TestA"),
			verdict{passed: 1, failures: []finding{{"p", "did not end", ""}}}},
		{"exit status", failed, append(events("run", "TestA", "pass", "TestA"), says("", "leak\n")),
			verdict{passed: 1, failures: []finding{{"p", "exit status 1", "leak"}}}},
		{"nothing ran", ended, append(events("pass", ""), says("", "testing: warning: no tests to run\n")),
			verdict{failures: []finding{{"p", "ran no test", "testing: warning: no tests to run"}}}},
		{"skipped for an older kernel", ended, append(events("run", "TestA", "skip", "TestA"), says("TestA", "    a_test.go:1: needs Linux 6.6: TCX\n")),
			verdict{skipped: []finding{{"p.TestA", "skipped", "    a_test.go:1: needs Linux 6.6: TCX"}}}},
		{"skipped though new enough", ended, append(events("run", "TestA", "skip", "TestA"), says("TestA", "needs Linux 6.1: kfuncs\n")),
			verdict{failures: []finding{{"p.TestA", "skipped, but this is Linux 6.1", "needs Linux 6.1: kfuncs"}}}},
		{"skipped for another reason", ended, append(events("run", "TestA", "skip", "TestA"), says("TestA", "needs root: mounts\n")),
			verdict{failures: []finding{{"p.TestA", `skipped without a reason that holds for a kernel: want "needs Linux 6.6: …"`, "needs root: mounts"}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := verdict{release: "6.1.0-56-cloud-amd64"}
			test.want.release = v.release
			v.add(test.run, test.events)
			assert.Equal(t, test.want, v)
		})
	}
}

func TestMaySkip(t *testing.T) {
	for release, allowed := range map[string]bool{"6.1.0-56-cloud-amd64": true, "6.9.1": true, "5.19": true, "6.10.1": false, "6.12.117+deb13": false, "7.3-cloud-amd64": false, "": false} {
		assert.Equal(t, allowed, maySkip(release, "needs Linux 6.10: arenas") == nil, release)
	}
}

func TestJudge(t *testing.T) {
	passes := func([]byte) ([]byte, error) {
		return []byte(`{"Action":"run","Test":"TestA"}{"Action":"pass","Test":"TestA"}`), nil
	}
	const booted = "@guest {\"release\":\"6.12.1\"}\n"
	for _, test := range []struct {
		name string
		said console
		want verdict
	}{
		{"passed", console{port: []byte(booted + "@guest {\"begin\":\"p\"}\n@guest {\"end\":\"p\"}\n")}, verdict{release: "6.12.1", passed: 1}},
		{"did not boot", console{kernel: []byte("one\r\ntwo\r\n")}, verdict{failures: []finding{{what: "no test began", text: "one\ntwo"}}}},
		{"was ended", console{problem: "not done within 1s"}, verdict{failures: []finding{{what: "not done within 1s"}}}},
		{"init failed", console{port: []byte(booted + "@guest {\"error\":\"load veth: no\"}\n")},
			verdict{release: "6.12.1", failures: []finding{{what: "load veth: no"}}}},
		{"panicked", console{port: []byte(booted + "@guest {\"begin\":\"p\"}\n"), kernel: []byte("Kernel panic")}, verdict{
			release: "6.12.1", passed: 1,
			failures: []finding{{test: "p", what: "did not end"}, {what: "the machine ended before its tests did", text: "Kernel panic"}},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := judge(test.said, passes)
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
		})
	}
	_, err := parseEvents([]byte("{"))
	assert.ErrorContains(t, err, "parse output of test2json: unexpected EOF")
	assert.Equal(t, "b\nc", lastLines([]byte("a\nb\nc\n"), 2))
}
