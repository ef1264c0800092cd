package application

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

var (
	alice  = netip.MustParseAddr("127.0.0.10")
	bob    = netip.MustParseAddr("127.0.0.11")
	carol6 = netip.IPv6Loopback()
)

// serve runs an application until the test ends; at gives its address for a client of either IP version.
func serve(t *testing.T, app App, o Options) (at func(client netip.Addr) netip.AddrPort) {
	t.Helper()
	web, err := Open(t.Context(), app, o)
	require.NoError(t, err)
	servers := workload.Run(context.Background(), web)
	t.Cleanup(func() { require.NoError(t, servers.Close()) })
	assert.Equal(t, app.Kind(), web.Listening().Kind)
	port := web.Listening().Address.Port()
	return func(client netip.Addr) netip.AddrPort {
		if client.Is6() {
			return netip.AddrPortFrom(netip.IPv6Loopback(), port)
		}
		return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
	}
}

// get makes requests of a client and returns the responses.
func get(t *testing.T, at func(netip.Addr) netip.AddrPort, client netip.Addr, path string, count int) []workload.Response {
	t.Helper()
	report, err := workload.Get(t.Context(), workload.GetOptions{
		Dialer: workload.Dialer{Source: netip.AddrPortFrom(client, 0)}, URL: fmt.Sprintf("http://%s%s", at(client), path), Count: count, Concurrency: 1,
	})
	require.NoError(t, err)
	require.Equal(t, count, report.Outcomes[workload.OutcomeOK], "%+v", report.Responses)
	return report.Responses
}

// fetch gets the record over HTTP, as a lab does.
func fetch[T any](t *testing.T, at func(netip.Addr) netip.AddrPort) (record T) {
	t.Helper()
	body, err := request(t.Context(), workload.Dialer{}, fmt.Sprintf("http://%s/record", at(bob)))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(body, &record))
	return record
}

func TestRateLimiter(t *testing.T) {
	limiter, err := NewRateLimiter(RateLimit{Rate: 2, Burst: 3, BlockAfter: 4, Blocked: []netip.Prefix{netip.MustParsePrefix("::1/128")}})
	require.NoError(t, err)
	now := time.Unix(1000, 0)
	limiter.now = func() time.Time { return now }
	at := serve(t, limiter, Options{})

	var statuses []int
	for _, response := range get(t, at, alice, "/", 5) {
		statuses = append(statuses, response.Status)
	}
	assert.Equal(t, []int{200, 200, 200, 429, 429}, statuses, "a burst, and no more")
	response := get(t, at, bob, "/", 1)[0]
	assert.Equal(t, 200, response.Status, "one client's abuse is not another's")
	assert.Equal(t, "hello 127.0.0.11\n", response.Body)

	now = now.Add(500 * time.Millisecond)
	assert.Equal(t, 200, get(t, at, alice, "/", 1)[0].Status, "one token in half a second")
	response = get(t, at, alice, "/", 1)[0]
	assert.Equal(t, 429, response.Status)
	assert.Equal(t, "127.0.0.10: too many requests: next in 500ms\n", response.Body)
	assert.Equal(t, 429, get(t, at, alice, "/", 1)[0].Status, "the fourth rejection")
	now = now.Add(time.Hour)
	response = get(t, at, alice, "/", 1)[0]
	assert.Equal(t, 403, response.Status, "shut out for good")
	assert.Equal(t, "127.0.0.10 is blocked\n", response.Body)
	assert.Equal(t, 403, get(t, at, carol6, "/", 1)[0].Status, "shut out from the start")
	for _, response := range get(t, at, bob, "/", 3) {
		assert.Equal(t, 200, response.Status, "the bucket is full again, and not fuller")
	}
	assert.Equal(t, 429, get(t, at, bob, "/", 1)[0].Status)

	want := RateLimiterRecord{Clients: map[netip.Addr]RateRecord{
		alice:  {Allowed: 4, Rejected: 4, ShutOut: 1, Blocked: true},
		bob:    {Allowed: 4, Rejected: 1},
		carol6: {ShutOut: 1, Blocked: true},
	}}
	assert.Equal(t, want, fetch[RateLimiterRecord](t, at))
	assert.Equal(t, want, limiter.Record())
}

func TestAudit(t *testing.T) {
	at := serve(t, NewAudit(), Options{})
	assert.Empty(t, fetch[AuditRecord](t, at).Lines)
	began := time.Now()
	a := get(t, at, alice, "/delete?who=alice", 1)[0]
	c := get(t, at, carol6, "/read?who=carol", 1)[0]
	lines := fetch[AuditRecord](t, at).Lines
	require.Len(t, lines, 2)
	for i, want := range []struct {
		client netip.AddrPort
		path   string
		body   string
	}{{a.Local, "/delete?who=alice", a.Body}, {c.Local, "/read?who=carol", c.Body}} {
		assert.Equal(t, want.client, lines[i].Client)
		assert.Equal(t, want.path, lines[i].Path)
		assert.Equal(t, http.MethodGet, lines[i].Method)
		assert.WithinRange(t, lines[i].Time, began, time.Now())
		assert.Equal(t, lines[i].String()+"\n", want.body)
	}
}

func TestGeo(t *testing.T) {
	var table []Region
	for _, text := range []string{"127.0.0.0/8=lo", "127.0.0.10/32=home", "::/0=six", "192.0.2.77/24=eu"} {
		region, err := ParseRegion(text)
		require.NoError(t, err)
		table = append(table, region)
	}
	geo, err := NewGeo(table)
	require.NoError(t, err)
	at := serve(t, geo, Options{})
	assert.Equal(t, "home\n", get(t, at, alice, "/", 2)[1].Body)
	assert.Equal(t, "lo\n", get(t, at, bob, "/", 1)[0].Body)
	assert.Equal(t, "six\n", get(t, at, carol6, "/", 1)[0].Body)
	assert.Equal(t, "eu", geo.region(netip.MustParseAddr("192.0.2.1")))
	assert.Equal(t, UnknownRegion, geo.region(netip.MustParseAddr("198.51.100.1")))
	assert.Equal(t, GeoRecord{
		Regions: map[string]int{"home": 2, "lo": 1, "six": 1},
		Clients: map[netip.Addr]GeoClient{alice: {"home", 2}, bob: {"lo", 1}, carol6: {"six", 1}},
	}, fetch[GeoRecord](t, at))
}

func TestVisitors(t *testing.T) {
	at := serve(t, NewVisitors(), Options{})
	get(t, at, alice, "/", 3)
	assert.Equal(t, "visit 1 of ::1, 2 visitors\n", get(t, at, carol6, "/", 1)[0].Body)
	assert.Equal(t, VisitorsRecord{Visitors: 2, Requests: 4, Clients: map[netip.Addr]int{alice: 3, carol6: 1}}, fetch[VisitorsRecord](t, at))
}

// Behind a PROXY protocol sender the visitor is who the header names.
func TestVisitorsByProxyHeader(t *testing.T) {
	visitors := NewVisitors()
	at := serve(t, visitors, Options{ProxyProtocol: proxyproto.Policy{Require: true}})
	conn, err := net.Dial("tcp", at(bob).String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprint(conn, "PROXY TCP4 192.0.2.10 198.51.100.1 40000 80\r\nGET / HTTP/1.0\r\n\r\n")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return visitors.Record().(VisitorsRecord).Requests == 1 }, time.Minute, time.Millisecond)
	assert.Equal(t, map[netip.Addr]int{netip.MustParseAddr("192.0.2.10"): 1}, visitors.Record().(VisitorsRecord).Clients)
}

func TestQuota(t *testing.T) {
	quota, err := NewQuota(100)
	require.NoError(t, err)
	at := serve(t, quota, Options{})
	response := get(t, at, alice, "/?tokens=60", 1)[0]
	assert.Equal(t, 200, response.Status)
	assert.Equal(t, strings.Repeat("token\n", 60), response.Body)
	response = get(t, at, alice, "/?tokens=41", 1)[0]
	assert.Equal(t, 429, response.Status)
	assert.Equal(t, "127.0.0.10 has 40 tokens left of 100\n", response.Body)
	assert.Equal(t, 200, get(t, at, alice, "/?tokens=40", 1)[0].Status)
	assert.Equal(t, 200, get(t, at, carol6, "/?tokens=100", 1)[0].Status)
	response = get(t, at, bob, "/?tokens=0", 1)[0]
	assert.Equal(t, 400, response.Status)
	assert.Equal(t, "tokens: found \"0\" (want 1 to 1000000)\n", response.Body)
	assert.Equal(t, QuotaRecord{Limit: 100, Clients: map[netip.Addr]QuotaClient{
		alice: {Tokens: 100, Requests: 2, Refused: 1}, carol6: {Tokens: 100, Requests: 1},
	}}, fetch[QuotaRecord](t, at))
}

func TestCallBack(t *testing.T) {
	app, err := NewCallBack(workload.Dialer{}, 0)
	require.NoError(t, err)
	at := serve(t, app, Options{})
	for _, client := range []netip.Addr{alice, carol6} {
		report, err := CallMe(t.Context(), CallMeOptions{Dialer: workload.Dialer{Source: netip.AddrPortFrom(client, 0)}, Target: at(client)})
		require.NoError(t, err)
		require.True(t, report.Reached, "%+v", report)
		assert.Equal(t, report.Waited, report.Server.Called)
		assert.Equal(t, client, report.Server.Client.Addr())
		assert.Equal(t, workload.OutcomeOK, report.Server.Outcome)
		assert.True(t, report.From.Addr().IsLoopback())
		assert.Empty(t, report.Error)
	}
	record := fetch[CallBackRecord](t, at)
	assert.Equal(t, map[workload.Outcome]int{workload.OutcomeOK: 2}, record.Outcomes)
	assert.Equal(t, alice, record.Calls[0].Client.Addr())
}

// wrongAddress shows an application its clients under another address, as a translator would.
type wrongAddress struct {
	App
	seen netip.Addr
}

func (w wrongAddress) Serve(rw http.ResponseWriter, r *http.Request, client netip.AddrPort) {
	w.App.Serve(rw, r, netip.AddrPortFrom(w.seen, client.Port()))
}

// Where the server takes somebody else for its client, the call does not come.
func TestCallBackToSomebodyElse(t *testing.T) {
	app, err := NewCallBack(workload.Dialer{}, 0)
	require.NoError(t, err)
	at := serve(t, wrongAddress{app, bob}, Options{})
	report, err := CallMe(t.Context(), CallMeOptions{Dialer: workload.Dialer{Source: netip.AddrPortFrom(alice, 0)}, Target: at(alice)})
	require.NoError(t, err)
	assert.False(t, report.Reached)
	assert.Equal(t, workload.OutcomeRefused, report.Server.Outcome)
	assert.Equal(t, bob, report.Server.Called.Addr())
	assert.False(t, report.From.IsValid())

	other, err := net.Listen("tcp", "127.0.0.11:0") // somebody else who takes calls
	require.NoError(t, err)
	defer other.Close()
	go func() {
		for {
			conn, err := other.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	response := get(t, at, alice, fmt.Sprintf("/?port=%d&ticket=secret", workload.AddrPortOf(other.Addr()).Port()), 1)[0]
	assert.Contains(t, response.Body, `"ticket":"secret"`)
	assert.Equal(t, 400, get(t, at, alice, "/?port=0", 1)[0].Status)

	dead, err := CallMe(t.Context(), CallMeOptions{Target: netip.MustParseAddrPort("127.0.0.1:1")})
	require.NoError(t, err)
	assert.False(t, dead.Reached)
	assert.Contains(t, dead.Error, "connection refused")
	assert.Zero(t, dead.Server)
}

func TestTooManyClients(t *testing.T) {
	visitors := NewVisitors()
	addr := netip.MustParseAddr("10.0.0.0")
	for range maxClients {
		visitors.Serve(discard{}, nil, netip.AddrPortFrom(addr, 1))
		addr = addr.Next()
	}
	at := serve(t, visitors, Options{})
	response := get(t, at, alice, "/", 1)[0]
	assert.Equal(t, http.StatusServiceUnavailable, response.Status)
	assert.Equal(t, "more than 65536 clients\n", response.Body)
	assert.Equal(t, maxClients, visitors.Record().(VisitorsRecord).Visitors)
}

// discard is a response that nobody reads.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

func TestErrors(t *testing.T) {
	_, err := NewRateLimiter(RateLimit{Burst: -1})
	assert.EqualError(t, err, "rate: found 0 (want more than 0 requests per second)\nburst, block after: found -1, 0 (want 0 or more)")
	_, err = NewQuota(0)
	assert.EqualError(t, err, "quota: found 0 tokens (want 1 or more)")
	_, err = NewCallBack(workload.Dialer{}, -1)
	assert.EqualError(t, err, "timeout: found -1ns (want 0 or more)")
	for _, text := range []string{"10.0.0.0/8", "10.0.0.0=eu", "10.0.0.0/8="} {
		_, err = ParseRegion(text)
		assert.EqualError(t, err, fmt.Sprintf("region: found %q (want PREFIX=NAME, as 192.0.2.0/24=eu)", text))
	}
	same := netip.MustParsePrefix("10.0.0.0/8")
	_, err = NewGeo([]Region{{same, "a"}, {netip.MustParsePrefix("10.1.0.0/8"), "b"}})
	assert.EqualError(t, err, "region 10.0.0.0/8: found the prefix twice (want it once)")
	_, err = NewGeo([]Region{{same, ""}})
	assert.EqualError(t, err, "region 0: found an empty field (want a prefix and a name)")
	_, err = CallMe(t.Context(), CallMeOptions{Timeout: -1})
	assert.EqualError(t, err, "missing target (want ADDR:PORT or [ADDR6]:PORT)\ntimeout: found -1ns (want 0 or more)")
	_, err = request(t.Context(), workload.Dialer{}, "http://127.0.0.1:1/record")
	assert.ErrorContains(t, err, "dial tcp 127.0.0.1:1: connect: connection refused")
}
