package health

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

func TestAnswers(t *testing.T) {
	last := frontend("shop/last", 32003, 0, 1)
	last.Terminating = []int{0}
	tables := &services.Tables{
		Backends: on("n1", "n2", "n1"),
		Frontends: []services.Frontend{
			frontend("shop/two", 32001, 0, 1, 2), frontend("shop/none", 32002, 1), last,
			{Address: netip.MustParseAddr("203.0.113.9"), Port: 443, Protocol: services.TCP, Service: "shop/unchecked", Backends: []int{0}},
		},
	}
	for _, c := range []struct {
		name    string
		port    int
		healthy bool
		status  int
		weight  string
		body    string
	}{
		{"two", 32001, true, 200, "2", `"name": "two"|"localEndpoints": 2|"serviceProxyHealthy": true`},
		{"elsewhere", 32002, true, 503, "0", `"name": "none"|"localEndpoints": 0|"serviceProxyHealthy": true`},
		{"a last resort is not healthy", 32003, true, 503, "0", `"name": "last"|"localEndpoints": 0|"serviceProxyHealthy": true`},
		{"the data path is ill", 32001, false, 503, "2", `"name": "two"|"localEndpoints": 2|"serviceProxyHealthy": false`},
	} {
		t.Run(c.name, func(t *testing.T) {
			network := &loopback{}
			s := newServer(t, Options{Listen: network.listen, Healthy: func() bool { return c.healthy }})
			require.NoError(t, s.Sync(tables, "n1"))
			assert.Equal(t, []string{"tcp :32003", "tcp :32002", "tcp :32001"}, network.asked)
			for _, path := range []string{"", "healthz", "any/path?at=all"} {
				r := get(t, newClient(t), network.url(fmt.Sprintf(":%d", c.port))+path)
				assert.Equal(t, c.status, r.status)
				assert.Equal(t, "application/json", r.header.Get("Content-Type"))
				assert.Equal(t, "nosniff", r.header.Get("X-Content-Type-Options"))
				assert.Equal(t, c.weight, r.weight())
				parts := strings.Split(c.body, "|")
				assert.Equal(t, "{\n\t\"service\": {\n\t\t\"namespace\": \"shop\",\n\t\t"+parts[0]+"\n\t},\n\t"+parts[1]+",\n\t"+parts[2]+"\n}", r.body)
			}
		})
	}
}

// Pods count, not their ports; and by the family of the address that was asked.
func TestFamilies(t *testing.T) {
	backends := on("n1", "n1")
	more := backends[0]
	more.Port = 8001
	v6 := services.Backend{Address: netip.MustParseAddr("fd00::1"), Port: 8000, Protocol: services.TCP, Node: "n1", Weight: 1}
	backends = append(backends, more, v6)
	second := frontend("shop/web", 32001, 2)
	second.Port = 81
	six := frontend("shop/web", 32001, 3)
	six.Address = netip.MustParseAddr("2001:db8::1")
	onlySix := frontend("shop/six", 32002, 3)
	onlySix.Address = netip.MustParseAddr("2001:db8::2")
	onlyFour := frontend("shop/four", 32003, 0, 1)
	tables := &services.Tables{Backends: backends, Frontends: []services.Frontend{frontend("shop/web", 32001, 0, 1), second, six, onlySix, onlyFour}}
	for _, c := range []struct {
		host             string
		web, six, onFour string
	}{{"127.0.0.1", "2", "1", "2"}, {"::1", "1", "1", "2"}} {
		t.Run(c.host, func(t *testing.T) {
			network := &loopback{host: c.host}
			if probe, err := net.Listen("tcp", net.JoinHostPort(c.host, "0")); err != nil {
				t.Skipf("needs %s on the loopback device: %v", c.host, err)
			} else {
				require.NoError(t, probe.Close())
			}
			s := newServer(t, Options{Listen: network.listen})
			require.NoError(t, s.Sync(tables, "n1"))
			for address, want := range map[string]string{":32001": c.web, ":32002": c.six, ":32003": c.onFour} {
				r := get(t, newClient(t), network.url(address))
				assert.Equal(t, want, r.weight(), address)
				assert.Equal(t, 200, r.status)
			}
		})
	}
}

// Services come and go, and a connection to another one does not notice; pods come and go without a new listener.
func TestSyncLeavesOthersAlone(t *testing.T) {
	// The port that is closed is at an address of its own: the next listener could get the same port.
	network, client := &loopback{hosts: map[string]string{":32002": "127.83.13.1"}}, newClient(t)
	s := newServer(t, Options{Listen: network.listen})
	sync := func(frontends ...services.Frontend) {
		t.Helper()
		require.NoError(t, s.Sync(&services.Tables{Backends: on("n1", "n1"), Frontends: frontends}, "n1"))
	}
	weight := func() (string, bool) {
		r := get(t, client, network.url(":32001"))
		return r.weight(), r.reused
	}
	stays := func(backends ...int) services.Frontend { return frontend("shop/stays", 32001, backends...) }

	sync(stays(0), frontend("shop/goes", 32002, 0))
	got, reused := weight()
	assert.Equal(t, "1", got)
	assert.False(t, reused)
	get(t, newClient(t), network.url(":32002"))
	gone := network.at(":32002")

	sync(stays(0, 1), frontend("shop/comes", 32003))
	got, reused = weight()
	assert.Equal(t, "2", got)
	assert.True(t, reused, "the connection was closed")
	assertRefused(t, gone)
	r := get(t, client, network.url(":32003"))
	assert.Equal(t, 503, r.status)
	assert.Equal(t, []string{"tcp :32002", "tcp :32001", "tcp :32003"}, network.asked)

	sync(frontend("shop/heir", 32001, 0))
	r = get(t, newClient(t), network.url(":32001"))
	assert.Equal(t, 200, r.status)
	assert.Contains(t, r.body, `"name": "heir"`)
}

// A port that went from one service to another is free in time, on a real port.
func TestPortMoves(t *testing.T) {
	// A block of addresses of its own, so that no other test takes the port in between.
	at := netip.MustParseAddr("127.83.11.1")
	port := freePort(t, at)
	s := newServer(t, Options{Addresses: []netip.Addr{at}})
	for i := range 50 {
		service := fmt.Sprintf("shop/%c", 'a'+i%2)
		require.NoError(t, s.Sync(&services.Tables{Backends: on("n1"), Frontends: []services.Frontend{frontend(service, port, 0)}}, "n1"))
	}
	r := get(t, newClient(t), "http://"+netip.AddrPortFrom(at, port).String())
	assert.Contains(t, r.body, `"name": "b"`)
}

func freePort(t *testing.T, at netip.Addr) uint16 {
	t.Helper()
	listener, err := net.Listen("tcp", netip.AddrPortFrom(at, 0).String())
	require.NoError(t, err)
	defer listener.Close()
	return netip.MustParseAddrPort(listener.Addr().String()).Port()
}

// What another process has is named, does not stop the rest, and is tried again.
func TestPortTaken(t *testing.T) {
	at, other := netip.MustParseAddr("127.83.12.1"), netip.MustParseAddr("127.83.12.2")
	taken, err := net.Listen("tcp", netip.AddrPortFrom(at, 0).String())
	require.NoError(t, err)
	defer taken.Close()
	port := netip.MustParseAddrPort(taken.Addr().String()).Port()
	s := newServer(t, Options{Addresses: []netip.Addr{at, other}})
	tables := &services.Tables{Backends: on("n1"), Frontends: []services.Frontend{frontend("shop/web", port, 0)}}

	err = s.Sync(tables, "n1")
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	assert.EqualError(t, err, fmt.Sprintf("listen for health checks of service shop/web on port %d: listen tcp %s:%d: bind: address already in use", port, at, port))
	r := get(t, newClient(t), "http://"+netip.AddrPortFrom(other, port).String())
	assert.Equal(t, 200, r.status, "the other address")

	require.NoError(t, taken.Close())
	require.NoError(t, s.Sync(tables, "n1"))
	r = get(t, newClient(t), "http://"+netip.AddrPortFrom(at, port).String())
	assert.Equal(t, 200, r.status)
}

func TestErrorsOfAllServices(t *testing.T) {
	network := &loopback{fails: map[string]error{":32001": syscall.EADDRINUSE, ":32002": syscall.EACCES}}
	s := newServer(t, Options{Listen: network.listen})
	err := s.Sync(&services.Tables{Frontends: []services.Frontend{
		frontend("shop/b", 32001), frontend("shop/a", 32002), frontend("shop/c", 32003)}}, "n1")
	assert.EqualError(t, err, "listen for health checks of service shop/a on port 32002: permission denied\n"+
		"listen for health checks of service shop/b on port 32001: address already in use")
	r := get(t, newClient(t), network.url(":32003"))
	assert.Equal(t, 503, r.status)
}

func TestClose(t *testing.T) {
	network := &loopback{}
	s := New(nil, Options{Listen: network.listen})
	tables := &services.Tables{Backends: on("n1"), Frontends: []services.Frontend{frontend("shop/web", 32001, 0)}}
	require.NoError(t, s.Sync(tables, "n1"))
	get(t, newClient(t), network.url(":32001"))
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	assertRefused(t, network.at(":32001"))
	assert.ErrorIs(t, s.Sync(tables, "n1"), ErrClosed)
}

// Requests come while tables change.
func TestConcurrently(t *testing.T) {
	network := &loopback{}
	s := newServer(t, Options{Listen: network.listen})
	tables := func(backends ...int) *services.Tables {
		return &services.Tables{Backends: on("n1", "n1"), Frontends: []services.Frontend{frontend("shop/web", 32001, backends...)}}
	}
	require.NoError(t, s.Sync(tables(0), "n1"))
	client := newClient(t)
	var group sync.WaitGroup
	var asked atomic.Int32
	for range 4 {
		group.Go(func() {
			for range 50 {
				response, err := client.Get(network.url(":32001"))
				if !assert.NoError(t, err) {
					return
				}
				assert.Contains(t, []string{"1", "2"}, response.Header.Get("X-Load-Balancing-Endpoint-Weight"))
				assert.NoError(t, response.Body.Close())
				asked.Add(1)
			}
		})
	}
	for i := range 100 {
		require.NoError(t, s.Sync(tables([]int{0, 1}[:1+i%2]...), "n1"))
	}
	group.Wait()
	assert.Equal(t, int32(200), asked.Load())
}
