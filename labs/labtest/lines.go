package labtest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/topologies"
)

// lineLength is how many bytes a name takes on a connection to ServeLines.
const lineLength = 20

// ServeLines serves, until the test ends, a TCP port of pods: each byte that comes is answered with the pod's name.
func ServeLines(t testing.TB, tb Testbed, pods []topologies.Pod, port int) {
	t.Helper()
	for _, p := range pods {
		var listener net.Listener
		require.NoError(t, tb.Enter(p.Name)(func() (err error) {
			listener, err = net.Listen("tcp", fmt.Sprintf(":%d", port))
			return err
		}))
		t.Cleanup(func() { listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go AnswerLines(conn, p.Name)
			}
		}()
	}
}

// AnswerLines answers each byte of a connection with a name, until the connection ends.
func AnswerLines(conn net.Conn, name string) {
	defer conn.Close()
	line := make([]byte, 1)
	for {
		if _, err := io.ReadFull(conn, line); err != nil {
			return
		}
		if _, err := fmt.Fprintf(conn, "%-*s", lineLength, name); err != nil {
			return
		}
	}
}

// Caller is a connection to a server of ServeLines or AnswerLines.
type Caller struct {
	net.Conn
	testbed Testbed
}

// NewCaller is a Caller by a connection that was made already.
func NewCaller(conn net.Conn, tb Testbed) Caller { return Caller{conn, tb} }

// Call connects from a place of a testbed. The connection is closed when the test ends.
func Call(t testing.TB, tb Testbed, from string, to netip.AddrPort) Caller {
	t.Helper()
	return CallWithin(t, tb, from, to, Patience)
}

// CallWithin is Call for where the time matters.
func CallWithin(t testing.TB, tb Testbed, from string, to netip.AddrPort, timeout time.Duration) Caller {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	conn, err := tb.Dialer(from).Dial(ctx, "tcp", to, nil)
	if err != nil {
		require.NoError(t, err, "%s calls %v\n%s", from, to, Counters(tb))
	}
	t.Cleanup(func() { conn.Close() })
	return Caller{conn, tb}
}

// Ask returns the name that the server answers with, padded with spaces.
func (c Caller) Ask(t testing.TB) string {
	t.Helper()
	require.NoError(t, c.SetDeadline(time.Now().Add(Patience)))
	_, err := c.Write([]byte{'?'})
	require.NoError(t, err)
	name := make([]byte, lineLength)
	if _, err = io.ReadFull(c, name); err != nil {
		require.NoError(t, err, "%v asks %v\n%s", c.LocalAddr(), c.RemoteAddr(), Counters(c.testbed))
	}
	return string(name)
}

// ManyCalls find each of four pods: one of which has at least 0.24 of the calls is missed with (1-0.24)^100, one of four in less
// than 1 of 10^11 runs.
const ManyCalls = 100

// Answering are the pods that answer calls from a place. It calls until as many as are wanted did, and 24 times at least, so that others
// show as well.
func Answering(t testing.TB, tb Testbed, from string, to netip.AddrPort, want int) map[string]bool {
	t.Helper()
	seen := make(map[string]bool)
	for i := 0; i < ManyCalls && (i < 24 || len(seen) < want); i++ {
		c := Call(t, tb, from, to)
		seen[strings.TrimSpace(c.Ask(t))] = true
		c.Close()
	}
	return seen
}
