package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestUnlisted(t *testing.T) {
	journals := [][]byte{
		[]byte(`{"kind":"begin","lab":"crash","id":"1"}` + "\n" + `{"kind":"namespace","name":"dsrlab-crash-lb"}` + "\n" + `{"kind":"mount","name":"/s/cr`),
		[]byte(`{"kind":"mount","name":"/s/five/bpf"}` + "\n" + `{"kind":"process","name":"dsrlab-five-lb"}` + "\n"),
	}
	assert.Equal(t, []string{"dsrlab-five-lb", "/s/crash/bpf"}, unlisted([]string{"dsrlab-crash-lb", "dsrlab-five-lb", "/s/crash/bpf", "/s/five/bpf"}, journals))
	assert.Empty(t, unlisted(nil, nil))
	assert.Equal(t, []string{"dsrlab-crash-lb"}, unlisted([]string{"dsrlab-crash-lb"}, nil))
}

func TestMountsBelow(t *testing.T) {
	const mountinfo = "22 1 0:20 / /sys rw - sysfs sysfs rw\n40 22 0:33 / /s/crash/bpf rw,relatime shared:2 - bpf bpf rw\n41 22 0:34 / /s+/crash/bpf rw - bpf bpf rw\nshort\n"
	assert.Equal(t, []string{"/s/crash/bpf"}, mountsBelow("/s", mountinfo))
}

func TestNamedIn(t *testing.T) {
	assert.Equal(t, []string{"b"}, namedIn(`[{"run": "b"}]`, []string{"a", "b"}))
	assert.Empty(t, namedIn("", []string{"a"}))
}
