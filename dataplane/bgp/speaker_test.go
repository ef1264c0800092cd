package bgp

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	loopback = netip.MustParseAddr("127.0.0.1")
	// routerAddress is used by the router only, so that nothing else takes its port before it does.
	routerAddress = netip.MustParseAddr("127.83.14.1")
	timers        = Timers{Hold: 9 * time.Second, Retry: time.Second}
)

// routerAt starts a router on a free port, which accepts a peer on this machine.
func routerAt(t *testing.T) (*server.BgpServer, uint16) {
	t.Helper()
	free, err := net.Listen("tcp", netip.AddrPortFrom(routerAddress, 0).String())
	require.NoError(t, err)
	port := uint16(free.Addr().(*net.TCPAddr).Port)
	free.Close()
	ctx := context.Background()
	router, err := start(ctx, &api.Global{
		Asn: 64512, RouterId: "192.0.2.250", ListenPort: int32(port), ListenAddresses: []string{routerAddress.String()},
	}, nil)
	require.NoError(t, err)
	t.Cleanup(router.Stop)
	require.NoError(t, router.AddPeer(ctx, &api.AddPeerRequest{Peer: neighbour(loopback, 64513, timers, &api.Transport{PassiveMode: true})}))
	return router, port
}

// heard returns the routes that a router has learned.
func heard(t *testing.T, router *server.BgpServer) string {
	t.Helper()
	var all []string
	for _, family := range []gobgp.Family{gobgp.RF_IPv4_UC, gobgp.RF_IPv6_UC} {
		require.NoError(t, router.ListPath(apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: family},
			func(nlri gobgp.NLRI, _ []*apiutil.Path) { all = append(all, nlri.String()) }))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// TestSpeaker: a router learns what a node announces, changes of it, and the withdrawal when the node leaves, before the session ends.
func TestSpeaker(t *testing.T) {
	router, port := routerAt(t)
	s, err := New(t.Context(), Options{
		ASN: 64513, ID: netip.MustParseAddr("192.0.2.1"), Timers: timers,
		NextHops: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
		Peers:    []Peer{{Address: routerAddress, ASN: 64512, Port: port}},
	})
	require.NoError(t, err)
	vips := func(all ...string) (addresses []netip.Addr) {
		for _, vip := range all {
			addresses = append(addresses, netip.MustParseAddr(vip))
		}
		return addresses
	}
	hears := func(want string) {
		t.Helper()
		require.Eventually(t, func() bool { return heard(t, router) == want }, time.Minute, 10*time.Millisecond, "want %q, have %q", want, heard(t, router))
	}
	require.NoError(t, s.Set(vips("198.51.100.1", "2001:db8:1::1")))
	hears("198.51.100.1/32 2001:db8:1::1/128")
	require.NoError(t, s.Set(vips("198.51.100.2", "2001:db8:1::1")))
	hears("198.51.100.2/32 2001:db8:1::1/128")
	require.NoError(t, s.Leave())
	hears("")
	require.NoError(t, s.Set(vips("198.51.100.1")), "for good")
	up := false
	require.NoError(t, router.ListPeer(t.Context(), &api.ListPeerRequest{}, func(p *api.Peer) {
		up = p.State.SessionState == api.PeerState_SESSION_STATE_ESTABLISHED
	}))
	assert.True(t, up)
	assert.Empty(t, heard(t, router))
	require.NoError(t, s.Close())
}

// sessionLog keeps what is said of sessions.
type sessionLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *sessionLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.Contains(string(line), "BGP session") {
		l.lines = append(l.lines, strings.TrimSpace(string(line)))
	}
	return len(line), nil
}

func (l *sessionLog) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

func (l *sessionLog) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// TestSessionLog: the log says once why a session is not up, says another reason, and says when it is up and when it ends.
func TestSessionLog(t *testing.T) {
	free, err := net.Listen("tcp", netip.AddrPortFrom(routerAddress, 0).String())
	require.NoError(t, err)
	at := free.Addr().(*net.TCPAddr).AddrPort()
	require.NoError(t, free.Close())
	var log sessionLog
	s, err := New(t.Context(), Options{
		ASN: 64513, ID: netip.MustParseAddr("192.0.2.1"), Timers: timers, Log: log.logger(),
		NextHops: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Peers: []Peer{{Address: at.Addr(), ASN: 64512, Port: at.Port()}},
	})
	require.NoError(t, err)
	says := func(want ...string) {
		t.Helper()
		require.Eventually(t, func() bool { return len(log.all()) >= len(want) }, time.Minute, 10*time.Millisecond, "want %q, have %q", want, log.all())
		require.Equal(t, want, log.all())
	}
	const down, up = `level=WARN msg="BGP session is not up" router=127.83.14.1 reason=`, `level=INFO msg="BGP session is up" router=127.83.14.1`
	refused := down + fmt.Sprintf(`"dial tcp %s: connect: connection refused"`, at)
	says(refused)
	time.Sleep(3 * time.Second) // one more attempt: the same is not said again
	says(refused)

	peer := neighbour(loopback, 64599, timers, &api.Transport{PassiveMode: true}) // expects another AS
	router, err := start(t.Context(), &api.Global{
		Asn: 64512, RouterId: "192.0.2.250", ListenPort: int32(at.Port()), ListenAddresses: []string{at.Addr().String()},
	}, nil)
	require.NoError(t, err)
	t.Cleanup(router.Stop)
	require.NoError(t, router.AddPeer(t.Context(), &api.AddPeerRequest{Peer: peer}))
	wrongAS := down + `"the router refused this node's OPEN message: does it expect this AS and address?"`
	says(refused, wrongAS)
	require.NoError(t, router.DeletePeer(t.Context(), &api.DeletePeerRequest{Address: loopback.String()}))
	require.NoError(t, router.AddPeer(t.Context(), &api.AddPeerRequest{Peer: neighbour(loopback, 64513, timers, &api.Transport{PassiveMode: true})}))
	require.Eventually(t, func() bool { return slices.Contains(log.all(), up) }, time.Minute, 10*time.Millisecond, "have %q", log.all())
	before := len(log.all())
	router.Stop()
	require.Eventually(t, func() bool { return len(log.all()) > before }, time.Minute, 10*time.Millisecond)
	assert.Contains(t, log.all()[before], down)
	require.NoError(t, s.Close())
}

// TestMultihop: packets to a router that is no neighbour have the TTL that takes them there.
func TestMultihop(t *testing.T) {
	one := netip.MustParseAddr("192.0.2.250")
	s, err := New(t.Context(), Options{
		ASN: 64513, ID: netip.MustParseAddr("192.0.2.1"), Timers: timers,
		Peers: []Peer{{Address: one, ASN: 64512, Multihop: 3}, {Address: one.Next(), ASN: 64512}},
	})
	require.NoError(t, err)
	ttl := map[string]uint32{}
	require.NoError(t, s.server.ListPeer(t.Context(), &api.ListPeerRequest{}, func(p *api.Peer) {
		if m := p.EbgpMultihop; m != nil && m.Enabled {
			ttl[p.Conf.NeighborAddress] = m.MultihopTtl
		}
	}))
	assert.Equal(t, map[string]uint32{"192.0.2.250": 3}, ttl)
	require.NoError(t, s.Close())
}
