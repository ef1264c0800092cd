package l7proxy

import (
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/dsrlab/dsrlab/labs/workload"
)

// maxEntries bounds the requests that a report keeps; the rest are only counted.
const maxEntries = 1000

// Report holds what the proxy has done.
type Report struct {
	workload.WebCounts
	// Requests counts all HTTP requests; Failed those that no upstream answered (502).
	Requests int `json:"requests"`
	Failed   int `json:"failed"`
	// Upstreams counts the requests of each upstream; PassedOver how often one did not accept a connection.
	Upstreams  map[netip.AddrPort]int `json:"upstreams"`
	PassedOver map[netip.AddrPort]int `json:"passedOver,omitempty"`
	// Dropped counts header entries that clients or proxies sent and that were not trusted.
	Dropped int `json:"dropped"`
	// Entries holds the first 1000 requests.
	Entries []Entry `json:"entries"`
}

// Entry is one request.
type Entry struct {
	// Peer made the request: the client, or a proxy in front.
	Peer workload.Peer `json:"peer"`
	Path string        `json:"path"`
	// Client is the original client of the request according to the trusted entries; invalid if the entry that
	// names it is not an address.
	Client netip.Addr `json:"client,omitzero"`
	// Received holds the headers as received, and Sent those that the upstream got.
	Received Chains `json:"received"`
	Sent     Chains `json:"sent"`
	// Dropped counts the entries of Received that were not trusted; a Forwarded header that violates the grammar is one.
	Dropped  int            `json:"dropped"`
	Upstream netip.AddrPort `json:"upstream,omitzero"`
	// Status is that of the response; 502 with Error if there was none.
	Status int    `json:"status"`
	Error  string `json:"error,omitempty"`
}

// Chains holds the values of the headers that carry addresses, as on the wire.
type Chains struct {
	XForwardedFor []string `json:"xForwardedFor,omitempty"`
	Forwarded     []string `json:"forwarded,omitempty"`
}

func chainsOf(header http.Header) Chains {
	return Chains{XForwardedFor: slices.Clone(header.Values(xForwardedFor)), Forwarded: slices.Clone(header.Values(forwardedHeader))}
}

// joinValues joins a header's lines into one.
func joinValues(header http.Header, name string) {
	header.Set(name, strings.Join(header.Values(name), ", "))
}

// Report returns what the proxy has done so far.
func (p *Proxy) Report() Report {
	r := p.record.report()
	r.WebCounts = p.Counts()
	return r
}

// record collects the report.
type record struct {
	mu   sync.Mutex
	data Report
}

func (r *record) add(e Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.data.Requests++
	r.data.Dropped += e.Dropped
	if e.Error != "" {
		r.data.Failed++
	} else {
		if r.data.Upstreams == nil {
			r.data.Upstreams = map[netip.AddrPort]int{}
		}
		r.data.Upstreams[e.Upstream]++
	}
	if len(r.data.Entries) < maxEntries {
		r.data.Entries = append(r.data.Entries, e)
	}
}

func (r *record) passedOver(upstream netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.data.PassedOver == nil {
		r.data.PassedOver = map[netip.AddrPort]int{}
	}
	r.data.PassedOver[upstream]++
}

func (r *record) report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	report := r.data
	report.Upstreams, report.PassedOver = maps.Clone(report.Upstreams), maps.Clone(report.PassedOver)
	report.Entries = slices.Clone(report.Entries)
	return report
}
