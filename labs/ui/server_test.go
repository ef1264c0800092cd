package ui

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/observe"
	"github.com/dsrlab/dsrlab/topologies"
)

const token = "the-token"

// fake is a Testbed that only counts what is asked of it.
type fake struct {
	plan                 *topologies.Plan
	reads, changes, ends atomic.Int32
	answer               error // to every change
}

func (f *fake) Name() string           { return "fake" }
func (f *fake) Plan() *topologies.Plan { return f.plan }
func (f *fake) change() error          { f.changes.Add(1); return f.answer }

func (f *fake) Read(context.Context) (Reading, error) {
	f.reads.Add(1)
	return Reading{At: time.Now()}, nil
}

func (f *fake) EndReading() { f.ends.Add(1) }

func (f *fake) State(_, now Reading) State {
	nodes := ratesBetween(drawnNodes(f.plan), now, now)
	return State{At: now.At, Nodes: nodes, Ways: []Way{}, Services: []Service{}, Callers: []Caller{}}
}
func (f *fake) SetMode(context.Context, string, string) error            { return f.change() }
func (f *fake) SetLimit(context.Context, string, topologies.Limit) error { return f.change() }
func (f *fake) SetNode(context.Context, string, bool) error              { return f.change() }
func (f *fake) StartDownload(context.Context, string, string) error      { return f.change() }
func (f *fake) Labs() ([]LabChoice, error)                               { return labChoices("lab-talk", nil) }
func (f *fake) RunLab(context.Context, string) error                     { return f.change() }
func (f *fake) StopLab()                                                 { f.changes.Add(1) }
func (f *fake) StopDownload()                                            { f.changes.Add(1) }
func (f *fake) Trace(context.Context, string, string) (*observe.TraceReport, error) {
	return &observe.TraceReport{Outcome: "ok"}, f.change()
}

func planOf(t testing.TB, name string) *topologies.Plan {
	t.Helper()
	topology, err := topologies.Lookup(name)
	require.NoError(t, err)
	plan, err := topologies.PlanOf(topology)
	require.NoError(t, err)
	return plan
}

func newServer(t testing.TB, loopback bool) (*Server, *fake) {
	f := &fake{plan: planOf(t, "talk")}
	s, err := New(Config{Testbed: f, Token: token, Loopback: loopback, Interval: time.Millisecond})
	require.NoError(t, err)
	return s, f
}

// request is one that the page itself sends.
func request(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, "http://127.0.0.1:8780"+path, strings.NewReader(body))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Origin", "http://127.0.0.1:8780")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set(tokenHeader, token)
	}
	return r
}

func answer(h http.Handler, r *http.Request) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestGuard(t *testing.T) {
	const get, post = http.MethodGet, http.MethodPost
	header := func(key, value string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(key, value) } }
	host := func(host string) func(*http.Request) {
		return func(r *http.Request) { r.Host = host; r.Header.Del("Origin") }
	}
	for _, c := range []struct {
		name   string
		method string
		change func(*http.Request)
		beyond bool // listens beyond loopback
		status int
	}{
		{"the page's own", post, func(*http.Request) {}, false, 200},
		{"a program without an origin", post, func(r *http.Request) { r.Header.Del("Origin"); r.Header.Del("Sec-Fetch-Site") }, false, 200},
		{"no token", post, func(r *http.Request) { r.Header.Del(tokenHeader) }, false, 403},
		{"another token", post, header(tokenHeader, "the-tokem"), false, 403},
		{"another origin", post, header("Origin", "http://evil.example"), false, 403},
		{"another port's origin", post, header("Origin", "http://127.0.0.1:8781"), false, 403},
		{"another scheme's origin", post, header("Origin", "https://127.0.0.1:8780"), false, 403},
		{"origin null", post, header("Origin", "null"), false, 403},
		{"another site, without an origin", post, func(r *http.Request) { r.Header.Del("Origin"); r.Header.Set("Sec-Fetch-Site", "cross-site") }, false, 403},
		{"a name that is resolved to loopback", post, host("evil.example:8780"), false, 403},
		{"a name that looks like an address", post, host("127.0.0.1.evil.example"), false, 403},
		{"no host", post, host(""), false, 403},
		{"an address beyond loopback", post, host("192.0.2.1:8780"), false, 403},
		{"an address beyond loopback, listened on", post, host("192.0.2.1:8780"), true, 200},
		{"a name, listened on beyond loopback", post, host("evil.example"), true, 403},
		{"localhost", post, host("localhost:8780"), false, 200},
		{"IPv6 loopback", post, host("[::1]:8780"), false, 200},
		{"reading", get, func(*http.Request) {}, false, 200},
		{"reading from another origin", get, header("Origin", "http://evil.example"), false, 403},
		{"reading by a name", get, host("evil.example"), false, 403},
		{"a picture in another site's page", get, header("Sec-Fetch-Site", "cross-site"), false, 403},
		{"PUT without token", http.MethodPut, func(*http.Request) {}, false, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, f := newServer(t, !c.beyond)
			path := map[string]string{get: "/api/testbed", post: "/api/mode", http.MethodPut: "/api/mode"}[c.method]
			r := request(c.method, path, `{"service": "tcp-echo", "mode": "dsr"}`)
			c.change(r)
			status, text := answer(s, r)
			assert.Equal(t, c.status, status, text)
			if status != 200 {
				assert.Zero(t, f.changes.Load())
			}
		})
	}
}

func TestPolicyForbidsOtherSites(t *testing.T) {
	s, _ := newServer(t, true)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, request(http.MethodGet, "/", ""))
	assert.Equal(t, 200, w.Code)
	assert.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'none'")
	assert.NotContains(t, w.Header().Get("Content-Security-Policy"), "unsafe")
	assert.NotContains(t, w.Body.String(), "http:", "a foreign address in the page")
}

func TestChanges(t *testing.T) {
	for _, c := range []struct {
		name, path, body string
		answer           error
		status           int
		text             string
	}{
		{"mode", "/api/mode", `{"service":"tcp-echo","mode":"dsr"}`, nil, 200, "{}"},
		{"limit", "/api/limit", `{"node":"lb","limit":"police"}`, nil, 200, "{}"},
		{"node", "/api/node", `{"node":"lb","on":false}`, nil, 200, "{}"},
		{"start", "/api/download", `{"client":"client","service":"tcp-echo","on":true}`, nil, 200, "{}"},
		{"stop", "/api/download", `{"on":false}`, nil, 200, "{}"},
		{"run a lab", "/api/lab", `{"lab":"06-dsr-packet-walk","on":true}`, nil, 200, "{}"},
		{"stop a lab", "/api/lab", `{"on":false}`, nil, 200, "{}"},
		{"another lab runs", "/api/lab", `{"on":true}`, ErrBusy, 409, "another change"},
		{"trace", "/api/trace", `{"client":"client","service":"tcp-echo"}`, nil, 200, `"outcome":"ok"`},
		{"refused", "/api/mode", `{}`, refuse("service: unknown service %q", ""), 400, `{"error":"service: unknown service \"\""}`},
		{"busy", "/api/mode", `{}`, ErrBusy, 409, `{"error":"another change is being made"}`},
		{"failed", "/api/mode", `{}`, io.ErrUnexpectedEOF, 500, `{"error":"unexpected EOF"}`},
		{"unknown field", "/api/mode", `{"colour":"red"}`, nil, 400, "unknown field"},
		{"two values", "/api/mode", `{} {}`, nil, 400, "more than one JSON value"},
		{"too large", "/api/mode", `{"service":"` + strings.Repeat("x", maxBody) + `"}`, nil, 400, "too large"},
		{"unknown path", "/api/nothing", `{}`, nil, 405, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, f := newServer(t, true)
			f.answer = c.answer
			status, text := answer(s, request(http.MethodPost, c.path, c.body))
			assert.Equal(t, c.status, status)
			assert.Contains(t, text, c.text)
		})
	}
}

func TestFormIsRefused(t *testing.T) {
	s, f := newServer(t, true)
	r := request(http.MethodPost, "/api/mode", "service=tcp-echo")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	status, text := answer(s, r)
	assert.Equal(t, 400, status)
	assert.Contains(t, text, "want application/json")
	assert.Zero(t, f.changes.Load())
}

// TestEvents checks that viewers share one reader, and that nothing is read without them.
func TestEvents(t *testing.T) {
	s, f := newServer(t, true)
	server := httptest.NewServer(s)
	defer server.Close()
	assert.Zero(t, f.reads.Load())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 2 {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/events", nil)
		require.NoError(t, err)
		response, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer response.Body.Close()
		assert.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
		lines := bufio.NewScanner(response.Body)
		require.True(t, lines.Scan())
		var state State
		require.NoError(t, json.Unmarshal(bytes.TrimPrefix(lines.Bytes(), []byte("data: ")), &state))
		assert.Len(t, state.Nodes, 3)
		assert.Equal(t, "client", state.Nodes[0].Name)
	}
	cancel()
	require.Eventually(t, func() bool {
		s.hub.mu.Lock()
		defer s.hub.mu.Unlock()
		return len(s.hub.viewers) == 0 && s.hub.stop == nil
	}, 30*time.Second, time.Millisecond)
	server.Close()
	require.Eventually(t, func() bool { return f.ends.Load() == 1 }, 30*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { // a reading that was under way ends
		before := f.reads.Load()
		time.Sleep(20 * time.Millisecond)
		return f.reads.Load() == before
	}, 30*time.Second, time.Millisecond)
}

func FuzzAPI(f *testing.F) {
	f.Add("POST", "/api/mode", "127.0.0.1:8780", "", "application/json", []byte(`{"service":"tcp-echo","mode":"dsr"}`), true)
	f.Add("POST", "/api/trace", "localhost", "http://localhost", "application/json; charset=utf-8", []byte(`{"client":"client"}`), true)
	f.Add("POST", "/api/lab", "localhost", "", "application/json", []byte(`{"lab":"06-dsr-packet-walk","on":true}`), true)
	f.Add("GET", "/topology.svg?layout=narrow", "[::1]:1", "", "", []byte{}, false)
	f.Add("GET", "/vendor/../main.js", "127.0.0.1", "null", "", []byte{}, false)
	f.Add("GET", "topo\x8c", "[::1]:1", "", "", []byte{}, false)
	s, tb := newServer(f, true)
	f.Fuzz(func(t *testing.T, method, path, host, origin, kind string, body []byte, authorised bool) {
		r, err := http.NewRequest(method, "http://127.0.0.1/", bytes.NewReader(body))
		if err != nil {
			return
		}
		if r.URL, err = r.URL.Parse(path); err != nil || strings.HasPrefix(r.URL.Path, "/events") {
			return // a stream has no end
		}
		r.Host = host
		r.Header.Set("Origin", origin)
		r.Header.Set("Content-Type", kind)
		if authorised {
			r.Header.Set(tokenHeader, token)
		}
		before := tb.changes.Load()
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		changed := tb.changes.Load() != before
		if changed && (!authorised || method != http.MethodPost || origin != "" && origin != "http://"+host || !s.servesHost(host)) {
			t.Errorf("%s %s of host %q, origin %q, token %v was let through", method, path, host, origin, authorised)
		}
		if w.Code >= 500 {
			t.Errorf("%s %s: status %d", method, path, w.Code)
		}
	})
}
