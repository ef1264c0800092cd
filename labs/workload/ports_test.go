package workload

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPorts(t *testing.T) {
	port, _ := startServer(t, KindEcho)
	for name, target := range loopbacks(port) {
		for _, protocol := range []Protocol{TCP, UDP} {
			t.Run(name+" "+string(protocol), func(t *testing.T) {
				dialer := Dialer{Ports: NewPorts()}
				used := make(map[uint16]bool)
				for range 2 {
					report, err := Connect(t.Context(), ConnectOptions{Dialer: dialer, Protocol: protocol, Target: target, Count: 100})
					require.NoError(t, err)
					require.Equal(t, 100, report.Outcomes[OutcomeOK], "%v", report.Outcomes)
					for _, c := range report.Connections {
						assert.False(t, used[c.Local.Port()], "port %d comes again", c.Local.Port())
						used[c.Local.Port()] = true
					}
				}
			})
		}
	}
}

// TestPortsTaken: a port that another socket has is passed over, and the last one is followed by the first.
func TestPortsTaken(t *testing.T) {
	port, _ := startServer(t, KindEcho)
	target := loopbacks(port)["IPv4"]
	ports := &Ports{}
	ports.next.Store(lastPort - firstPort)
	holder := Dialer{Source: netip.AddrPortFrom(target.Addr(), lastPort)}
	held, err := holder.Dial(t.Context(), "udp", target, nil)
	require.NoError(t, err)
	defer held.Close()

	conn, err := Dialer{Source: netip.AddrPortFrom(target.Addr(), 0), Ports: ports}.Dial(t.Context(), "udp", target, nil)
	require.NoError(t, err)
	defer conn.Close()
	assert.Less(t, AddrPortOf(conn.LocalAddr()).Port(), uint16(lastPort))
}
