package netns

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// busy is a commenter whose decisions never cease: whenever they are read, one more packet has come in.
type busy struct {
	t       *testing.T
	send    func()
	handed  int // packets
	decided int // about packets
}

func (b *busy) Begin() error { return nil }

func (b *busy) Packet(_ string, frame []byte) {
	if gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy).Layer(layers.LayerTypeUDP) != nil {
		b.handed++
	}
}

func (b *busy) Read() error {
	b.send()
	b.decided++
	return nil
}

func (b *busy) Comments(n int) []string {
	assert.GreaterOrEqual(b.t, b.handed, b.decided, "a decision was read about a packet that was not handed over")
	return make([]string, n)
}

// Also at the end of a capture every decision that is read is about a packet that was handed over, and what came after it is not written.
func TestCommenterAtTheEnd(t *testing.T) {
	nw := up(t, talk(t), "test-end", t.TempDir())
	at := netip.AddrPortFrom(nw.Plan().Nodes[2].Addresses[0].Addr(), 9)
	var server, client net.Conn
	require.NoError(t, nw.Do("worker", func() error {
		listening, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		server = listening
		return err
	}))
	defer server.Close()
	require.NoError(t, nw.Do("client", func() (err error) {
		client, err = net.Dial("udp", at.String())
		return err
	}))
	defer client.Close()
	send := func() {
		_, err := client.Write([]byte("x"))
		require.NoError(t, err)
		require.NoError(t, server.SetReadDeadline(time.Now().Add(time.Minute)))
		_, err = server.Read(make([]byte, 1)) // so that the capture's socket has it
		require.NoError(t, err)
	}
	commenter := &busy{t: t, send: send, decided: 1}
	c, err := nw.OpenCapture("worker", CaptureOptions{Device: "eth0", Comments: commenter})
	require.NoError(t, err)
	defer c.Close()
	send()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var file bytes.Buffer
	stats, err := c.Record(ctx, &file)
	require.NoError(t, err)
	assert.Zero(t, stats.Lost)
	assert.Greater(t, commenter.decided, 1)
	assert.Len(t, keep(readCapture(t, &file), "UDP"), 1)
}
