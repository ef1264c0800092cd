package workload

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Data must come back whole: from an echo server it does, in detail too, and a server that keeps it or changes it has not answered.
func TestConnectData(t *testing.T) {
	echo := runEcho(t, EchoOptions{})
	for name, target := range loopbacks(echo.Listening().Address.Port()) {
		for _, detail := range []bool{false, true} {
			seen := connectOnce(t, ConnectOptions{Target: target, Data: MaxData, Detail: detail})
			assert.Equal(t, OutcomeOK, seen.Outcome, "%s: %s", name, seen.Error)
			assert.Equal(t, seen.Local, seen.Seen)
		}
	}
	for name, test := range map[string]struct {
		answer func(io.Reader, io.Writer)
		want   Outcome
		err    string
	}{
		"kept":    {func(r io.Reader, _ io.Writer) { _, _ = io.Copy(io.Discard, r) }, OutcomeTimeout, "read data back: "},
		"changed": {func(_ io.Reader, w io.Writer) { _, _ = w.Write(make([]byte, 1000)) }, OutcomeError, "read data back: found other bytes than were sent"},
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer listener.Close()
			go func() {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				reader := bufio.NewReader(conn)
				_, _ = reader.ReadString('\n')
				_, _ = io.WriteString(conn, conn.RemoteAddr().String()+"\n")
				test.answer(reader, conn)
			}()
			seen := connectOnce(t, ConnectOptions{Target: AddrPortOf(listener.Addr()), Data: 1000, Timeout: 300 * time.Millisecond})
			assert.Equal(t, test.want, seen.Outcome)
			assert.Contains(t, seen.Error, test.err)
		})
	}
}

func TestConnectDataInvalid(t *testing.T) {
	target := loopbacks(8080)["IPv4"]
	for want, o := range map[string]ConnectOptions{
		"data: found 65537 with tcp (want 0 to 65536, with tcp)": {Protocol: TCP, Target: target, Data: MaxData + 1},
		"data: found -1 with tcp (want 0 to 65536, with tcp)":    {Protocol: TCP, Target: target, Data: -1},
		"data: found 1 with udp (want 0 to 65536, with tcp)":     {Protocol: UDP, Target: target, Data: 1},
	} {
		assert.EqualError(t, o.Validate(), want)
	}
}
