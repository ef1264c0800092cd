package health

import (
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// loopback stands for a node's network: it listens on free ports of the loopback device in the place of those asked for.
type loopback struct {
	host  string            // default 127.0.0.1
	hosts map[string]string // others, by HOST:PORT asked for

	mu    sync.Mutex
	ports map[string]string // HOST:PORT asked for to HOST:PORT listened at
	fails map[string]error
	asked []string
}

func (l *loopback) listen(ctx context.Context, network, address string) (net.Listener, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, network+" "+address)
	if err := l.fails[address]; err != nil {
		return nil, err
	}
	host := cmp.Or(l.hosts[address], l.host, "127.0.0.1")
	listener, err := new(net.ListenConfig).Listen(ctx, network, net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, err
	}
	if l.ports == nil {
		l.ports = map[string]string{}
	}
	l.ports[address] = listener.Addr().String()
	return listener, nil
}

// at is where a listener is that was asked to be at an address.
func (l *loopback) at(address string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ports[address]
}

func (l *loopback) url(address string) string { return "http://" + l.at(address) + "/" }

func assertRefused(t *testing.T, address string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if assert.ErrorIs(t, err, syscall.ECONNREFUSED) {
		return
	}
	if err == nil {
		_ = conn.Close()
	}
}

// on are backends on nodes; a service is one of the frontends in front of them.
func on(nodes ...string) []services.Backend {
	var all []services.Backend
	for i, node := range nodes {
		all = append(all, services.Backend{
			Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), Port: 8000, Protocol: services.TCP, Node: node, Weight: 1})
	}
	return all
}

func frontend(service string, port uint16, backends ...int) services.Frontend {
	return services.Frontend{
		Address: netip.MustParseAddr("203.0.113.1"), Port: 80, Protocol: services.TCP, Kind: services.KindLoadBalancer,
		Service: service, LocalOnly: true, HealthCheckNodePort: port, Backends: backends,
	}
}

func newServer(t *testing.T, options Options) *Server {
	t.Helper()
	s := New(nil, options)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// reply is what a check was answered.
type reply struct {
	status int
	header http.Header
	body   string
	reused bool // the connection had been used before
}

func (r reply) weight() string { return r.header.Get("X-Load-Balancing-Endpoint-Weight") }

func get(t *testing.T, client *http.Client, url string) (r reply) {
	t.Helper()
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { r.reused = i.Reused }})
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	require.NoError(t, err)
	response, err := client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	r.status, r.header, r.body = response.StatusCode, response.Header, string(body)
	return r
}

func newClient(t *testing.T) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}
