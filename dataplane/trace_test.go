package dataplane

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// tracesVariable has the test binary trace this client, with the maps that it inherits, until it is killed.
const tracesVariable = "DSRLAB_TEST_TRACES"

// TestTraceUntilKilled is the process that TestTraceKilled kills.
func TestTraceUntilKilled(t *testing.T) {
	client := os.Getenv(tracesVariable)
	if client == "" {
		return // it is no test by itself
	}
	d := &DataPath{}
	for i, m := range []**ebpf.Map{&d.objects.Tracing, &d.objects.Hops, &d.objects.ServiceNames} {
		var err error
		*m, err = ebpf.NewMapFromFD(3 + i) // after the standard streams
		require.NoError(t, err)
	}
	require.NoError(t, d.Trace(t.Context(), TraceFilter{Client: addr(client), Ready: func() { fmt.Println("traces") }}, func(Hop) error { return nil }))
}

// A trace whose process was killed ends by itself: soon the node's programs record nothing any more, and the filter is gone.
func TestTraceKilled(t *testing.T) {
	w := worlds()[0]
	d := w.lb(t, services.ModeDSR)
	tracer := exec.Command(os.Args[0], "-test.run=^TestTraceUntilKilled$")
	tracer.Env = append(os.Environ(), tracesVariable+"="+w.client.String())
	for _, m := range []*ebpf.Map{d.objects.Tracing, d.objects.Hops, d.objects.ServiceNames} {
		inherited, err := unix.FcntlInt(uintptr(m.FD()), unix.F_DUPFD_CLOEXEC, 0)
		require.NoError(t, err)
		file := os.NewFile(uintptr(inherited), "map")
		defer file.Close()
		tracer.ExtraFiles = append(tracer.ExtraFiles, file)
	}
	out, err := tracer.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, tracer.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	assert.NoError(t, err)
	assert.Equal(t, "traces\n", line)
	require.NoError(t, tracer.Process.Kill())
	require.Error(t, tracer.Wait(), "killed")

	until := func() []byte {
		filter, err := d.objects.Tracing.LookupBytes(uint32(0))
		require.NoError(t, err)
		return filter[:8]
	}
	assert.NotEqual(t, make([]byte, 8), until(), "it was in force")
	require.Eventually(t, func() bool {
		d.send(t, FromNetwork, w.syn(portEcho).frame(t))
		return contentOf(t, d.objects.Hops) == 0
	}, time.Minute, 50*time.Millisecond)
	assert.Equal(t, make([]byte, 8), until(), "packets read no clock for it any more")
}
