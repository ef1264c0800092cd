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

// maxEntries bounds the requests that a report keeps; the rest is counted.
const maxEntries = 1000

// Report is what the proxy did.
type Report struct {
	workload.WebCounts
	// Requests are all that were HTTP; Failed are those that no upstream answered (502).
	Requests int `json:"requests"`
	Failed   int `json:"failed"`
	// Upstreams counts the requests that each upstream got; PassedOver, how often one did not accept a connection.
	Upstreams  map[netip.AddrPort]int `json:"upstreams"`
	PassedOver map[netip.AddrPort]int `json:"passedOver,omitempty"`
	// Dropped counts header entries that clients or proxies sent and that were not believed.
	Dropped int `json:"dropped"`
	// Entries are the first 1000 requests.
	Entries []Entry `json:"entries"`
}

// Entry is one request.
type Entry struct {
	// Peer is who made the request: the client, or a proxy in front.
	Peer workload.Peer `json:"peer"`
	Path string        `json:"path"`
	// Client is who the request came from in the first place, as far as the proxy believes; not valid when what it has to
	// believe is no address.
	Client netip.Addr `json:"client,omitzero"`
	// Received is what the headers said, and Sent what the upstream was told.
	Received Chains `json:"received"`
	Sent     Chains `json:"sent"`
	// Dropped counts the entries of Received that were not believed; a Forwarded header that breaks the grammar is one.
	Dropped  int            `json:"dropped"`
	Upstream netip.AddrPort `json:"upstream,omitzero"`
	// Status is the response's; 502 with Error when there was none.
	Status int    `json:"status"`
	Error  string `json:"error,omitempty"`
}

// Chains are the values of the headers that carry addresses, as they are on the wire.
type Chains struct {
	XForwardedFor []string `json:"xForwardedFor,omitempty"`
	Forwarded     []string `json:"forwarded,omitempty"`
}

func chainsOf(header http.Header) Chains {
	return Chains{XForwardedFor: slices.Clone(header.Values(xForwardedFor)), Forwarded: slices.Clone(header.Values(forwardedHeader))}
}

// joinValues makes a header's lines one.
func joinValues(header http.Header, name string) {
	header.Set(name, strings.Join(header.Values(name), ", "))
}

// Report says what the proxy did so far.
func (p *Proxy) Report() Report {
	r := p.record.report()
	r.WebCounts = p.Counts()
	return r
}

// record is the report in the making.
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
