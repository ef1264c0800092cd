package workload

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

const (
	// maxGarbage bounds the garbage that a report keeps; the rest is only counted.
	maxGarbage = 100
	// maxGarbageInput is how much of the garbage's input is kept: a v1 line is at most 107 bytes.
	maxGarbageInput = 107
)

// EchoReport holds what an echo server has seen.
type EchoReport struct {
	// Connections counts TCP connections, including those of HTTP; Requests HTTP requests; Datagrams UDP datagrams.
	Connections int `json:"connections"`
	Requests    int `json:"requests"`
	Datagrams   int `json:"datagrams"`
	// ProxyHeaders counts the PROXY headers that were parsed; Refused the connections without a valid one.
	ProxyHeaders int                       `json:"proxyHeaders"`
	Refused      map[proxyproto.Reason]int `json:"refused,omitempty"`
	// Garbled counts connections where a PROXY header was taken for the client's input, because the server does not parse
	// them; Garbage are the first 100 of those.
	Garbled int       `json:"garbled"`
	Garbage []Garbage `json:"garbage,omitempty"`
}

// Garbage is a PROXY header that a server took for its client's input.
type Garbage struct {
	// Socket is the TCP peer that sent it.
	Socket  netip.AddrPort     `json:"socket"`
	Version proxyproto.Version `json:"version"`
	// Input is the start of what the application read, in Go's quoting.
	Input string `json:"input"`
}

// EchoSeen is the echo server's answer, as a line of JSON, to the line "who am i, in detail".
type EchoSeen struct {
	Peer
	// Server is the server's end of the connection, which identifies one of several pods behind a frontend.
	Server netip.AddrPort `json:"server"`
}

func detail(conn *PeerConn) string {
	b, err := json.Marshal(EchoSeen{conn.Peer, AddrPortOf(conn.LocalAddr())})
	if err != nil {
		return fmt.Sprintf("encode answer: %v\n", err) // not reached: every EchoSeen can be encoded
	}
	return string(b) + "\n"
}

// garbageOf reports whether the connection begins, as far as it has been read, with a PROXY header that was not parsed.
func garbageOf(conn *PeerConn) (Garbage, bool) {
	begin, _ := conn.reader.Peek(min(conn.reader.Buffered(), maxGarbageInput))
	version := proxyproto.Signature(begin)
	return Garbage{Socket: conn.Peer.Socket, Version: version, Input: fmt.Sprintf("%q", begin)}, version != proxyproto.None
}

// echoRecord collects the report.
type echoRecord struct {
	mu   sync.Mutex
	data EchoReport
}

// connection counts an accepted or refused TCP connection.
func (r *echoRecord) connection(err error, conn *PeerConn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.data.Connections++
	if refusal := (*proxyproto.Refusal)(nil); errors.As(err, &refusal) {
		if r.data.Refused == nil {
			r.data.Refused = map[proxyproto.Reason]int{}
		}
		r.data.Refused[refusal.Reason]++
	}
	if err == nil && conn.Peer.ProxyHeader != nil {
		r.data.ProxyHeaders++
	}
}

func (r *echoRecord) garbage(g Garbage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.data.Garbled++
	if len(r.data.Garbage) < maxGarbage {
		r.data.Garbage = append(r.data.Garbage, g)
	}
}

func (r *echoRecord) request() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.data.Requests++
}

func (r *echoRecord) datagram() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.data.Datagrams++
}

func (r *echoRecord) report() EchoReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	report := r.data
	report.Refused = maps.Clone(report.Refused)
	report.Garbage = slices.Clone(report.Garbage)
	return report
}
