package rules

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
)

// receiver gets datagrams at the bridge's address.
type receiver struct {
	*client
	conn net.PacketConn
}

func newReceiver(t *testing.T, c *client) *receiver {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "192.0.2.1:9000")
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return &receiver{c, conn}
}

// send sends a datagram whose IP packet has a size.
func (r *receiver) send(from string, size int, what string) {
	r.in(func() {
		conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from)}, &net.UDPAddr{IP: net.ParseIP("192.0.2.1"), Port: 9000})
		require.NoError(r.t, err)
		defer conn.Close()
		const headers = 28
		_, err = io.WriteString(conn, what+strings.Repeat(".", max(0, size-headers-len(what))))
		require.NoError(r.t, err)
	})
}

// next is what the next datagram says, from whom.
func (r *receiver) next() (what, from string) {
	buffer := make([]byte, 2000)
	require.NoError(r.t, r.conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	n, peer, err := r.conn.ReadFrom(buffer)
	require.NoError(r.t, err)
	return strings.TrimRight(string(buffer[:n]), "."), peer.(*net.UDPAddr).IP.String()
}

// Each kind of packets is dropped, and no other: one that follows on the same wire arrives.
func TestDrop(t *testing.T) {
	c := newClient(t)
	r := newReceiver(t, c)
	var mac net.HardwareAddr
	c.in(func() {
		link, err := netlink.LinkByName("eth0")
		require.NoError(t, err)
		mac = link.Attrs().HardwareAddr
	})
	own, other := netip.MustParsePrefix(clientAddress+"/32"), netip.MustParsePrefix("198.51.100.0/30")
	stranger := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	const small = 100
	for _, test := range []struct {
		name    string
		drop    func(string, []Drop) error
		what    Drop
		dropped bool // what comes from the forged address, in 500 bytes
	}{
		{"in by the port", DropBridged, Drop{In: "port", NotFrom: []netip.Prefix{own}}, true},
		{"in by another port", DropBridged, Drop{In: "another", NotFrom: []netip.Prefix{own}}, false},
		{"too long", DropBridged, Drop{In: "port", LongerThan: 499}, true},
		{"not too long", DropBridged, Drop{In: "port", LongerThan: 500}, false},
		{"to the port", DropBridged, Drop{In: "port", Port: 9000, NotFrom: []netip.Prefix{own}}, true},
		{"to another port", DropBridged, Drop{In: "port", Port: 9001, NotFrom: []netip.Prefix{own}}, false},
		{"in a frame of the machine", DropRouted, Drop{MAC: mac, NotFrom: []netip.Prefix{own, other}}, true},
		{"in a frame of another machine", DropRouted, Drop{MAC: stranger, NotFrom: []netip.Prefix{own, other}}, false},
		{"not in a frame of the machine", DropBridged, Drop{In: "port", NotMAC: mac}, false},
		{"not in a frame of another machine", DropBridged, Drop{In: "port", NotMAC: stranger, LongerThan: 499}, true},
		{"to no address of the bridge", DropRouted, Drop{NotTo: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/30")}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.NoError(t, test.drop("test", []Drop{test.what}))
			require.NoError(t, test.drop("test", []Drop{test.what}), "again")
			r.send(forged, 500, "foreign")
			r.send(clientAddress, small, "own")
			got, _ := r.next()
			if !test.dropped {
				assert.Equal(t, "foreign", got)
				got, _ = r.next()
			}
			assert.Equal(t, "own", got)
			require.NoError(t, Undrop("test"))
			assert.Empty(t, tables(t))
		})
	}
	require.NoError(t, Undrop("test"), "nothing to remove")
}

// What goes out by a port is dropped by its destination, and comes back once that is no more.
func TestDropOut(t *testing.T) {
	c := newClient(t)
	at := serve(t, "192.0.2.1:0")
	require.NoError(t, DropBridged("test", []Drop{{Out: "port", NotTo: []netip.Prefix{netip.MustParsePrefix(clientAddress + "/32")}}}))
	answer, err := c.ask(at.String())
	require.NoError(t, err)
	assert.Equal(t, fmt.Sprintf("%v saw %s", at, clientAddress), answer)
	require.NoError(t, DropBridged("test", []Drop{{Out: "port", NotTo: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/30")}}}))
	assert.Error(t, c.connect(at, 500*time.Millisecond), "what answers it is to another address")
	require.NoError(t, Undrop("test"))
	assert.Empty(t, tables(t))
	require.NoError(t, c.connect(at, 10*time.Second))
}

// connect reports why a connection did not come about.
func (c *client) connect(to netip.AddrPort, timeout time.Duration) (err error) {
	c.in(func() {
		var conn net.Conn
		if conn, err = net.DialTimeout("tcp", to.String(), timeout); err == nil {
			conn.Close()
		}
	})
	return err
}

// A router that sees no SYN drops what follows, unless it is told that it does not see that, either.
func TestDropInvalid(t *testing.T) {
	c := newClient(t)
	at := serve(t, "192.0.2.1:0")
	t.Cleanup(func() { assert.NoError(t, PassInvalid("test")) })
	require.NoError(t, DropInvalid("test"))
	require.NoError(t, c.connect(at, 10*time.Second), "it has seen the connection begin")
	require.NoError(t, DropInvalid("test", Unseen{Device: "br0"}))
	assert.Error(t, c.connect(at, 500*time.Millisecond), "the SYN-ACK belongs to no SYN")
	require.NoError(t, PassInvalid("test"))
	require.NoError(t, c.connect(at, 10*time.Second))
	assert.Empty(t, tables(t))
}

// As many rules as there are between 40 nodes, by both IP versions, are one transaction: neither it nor the kernel's answers get lost.
func TestDropMany(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes nf_tables")
	}
	t.Cleanup(func() { assert.NoError(t, Undrop("test")) })
	var drops []Drop
	for from := range 40 {
		for to := range 40 {
			if from != to {
				drops = append(drops, Drop{In: fmt.Sprint("p", from), Out: fmt.Sprint("p", to), Port: 6081})
			}
		}
	}
	require.NoError(t, DropBridged("test", drops))
	assert.Equal(t, []string{tableDrop + "test"}, tables(t))
}
