package tcpproxy

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

// maxEntries bounds the connections that a report keeps; the rest are only counted.
const maxEntries = 1000

// Report holds what the proxy has done, for the connections that have ended.
type Report struct {
	Connections int `json:"connections"`
	// Refused counts the connections without a valid PROXY header, where clients must send one, by reason.
	Refused map[proxyproto.Reason]int `json:"refused,omitempty"`
	// Failed counts connections that no upstream accepted.
	Failed int `json:"failed"`
	// Upstreams counts the connections of each upstream.
	Upstreams map[netip.AddrPort]int `json:"upstreams"`
	// BytesUp counts what clients sent, and BytesDown what upstreams sent, without PROXY headers.
	BytesUp   int64 `json:"bytesUp"`
	BytesDown int64 `json:"bytesDown"`
	// Checks holds the results of the proxy's own connections.
	Checks map[netip.AddrPort]Check `json:"checks,omitempty"`
	// Entries holds the first 1000 connections.
	Entries []Entry `json:"entries"`
}

// Check is the result of an upstream's checks.
type Check struct {
	Count  int `json:"count"`
	Failed int `json:"failed"`
	// Error is that of the last check; empty if the upstream is up.
	Error string `json:"error,omitempty"`
}

// Entry is one connection.
type Entry struct {
	// Peer is the client.
	Peer workload.Peer `json:"peer"`
	// Upstream got the connection, and Local is the proxy's end of it: the socket address that the upstream sees,
	// unless it is translated on the path.
	Upstream netip.AddrPort `json:"upstream,omitzero"`
	Local    netip.AddrPort `json:"local,omitzero"`
	// Sent is the header that the upstream got.
	Sent      *proxyproto.Header `json:"sent,omitempty"`
	BytesUp   int64              `json:"bytesUp"`
	BytesDown int64              `json:"bytesDown"`
	Error     string             `json:"error,omitempty"`
}

// Report returns what the proxy has done so far.
func (p *Proxy) Report() Report {
	p.record.mu.Lock()
	defer p.record.mu.Unlock()
	report := p.record.data
	report.Refused, report.Upstreams, report.Checks = maps.Clone(report.Refused), maps.Clone(report.Upstreams), maps.Clone(report.Checks)
	report.Entries = slices.Clone(report.Entries)
	return report
}

// record collects the report.
type record struct {
	mu   sync.Mutex
	data Report
}

func (r *record) add(e Entry, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.data.Connections++
	r.data.BytesUp += e.BytesUp
	r.data.BytesDown += e.BytesDown
	refusal := (*proxyproto.Refusal)(nil)
	switch {
	case errors.As(err, &refusal):
		if r.data.Refused == nil {
			r.data.Refused = map[proxyproto.Reason]int{}
		}
		r.data.Refused[refusal.Reason]++
	case errors.Is(err, errNoUpstream):
		r.data.Failed++
	}
	if e.Upstream.IsValid() {
		if r.data.Upstreams == nil {
			r.data.Upstreams = map[netip.AddrPort]int{}
		}
		r.data.Upstreams[e.Upstream]++
	}
	if len(r.data.Entries) < maxEntries {
		r.data.Entries = append(r.data.Entries, e)
	}
}

func (r *record) checked(upstream netip.AddrPort, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.data.Checks == nil {
		r.data.Checks = map[netip.AddrPort]Check{}
	}
	check := r.data.Checks[upstream]
	check.Count++
	check.Error = ""
	if err != nil {
		check.Failed++
		check.Error = err.Error()
	}
	r.data.Checks[upstream] = check
}
