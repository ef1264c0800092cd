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
	// maxGarbage bounds the garbage that a report keeps; the rest is counted.
	maxGarbage = 100
	// maxGarbageInput is how much of the garbage's input is kept: a v1 line is at most 107 bytes.
	maxGarbageInput = 107
)

// EchoReport is what came to an echo server.
type EchoReport struct {
	// Connections are TCP connections, those of HTTP included; Requests are HTTP requests, Datagrams those of UDP.
	Connections int `json:"connections"`
	Requests    int `json:"requests"`
	Datagrams   int `json:"datagrams"`
	// ProxyHeaders counts the PROXY headers that were parsed; Refused the connections without a proper one.
	ProxyHeaders int                       `json:"proxyHeaders"`
	Refused      map[proxyproto.Reason]int `json:"refused,omitempty"`
	// Garbled counts connections where a PROXY header was taken for the client's input, because the server does not parse
	// them; Garbage are the first 100 of those.
	Garbled int       `json:"garbled"`
	Garbage []Garbage `json:"garbage,omitempty"`
}

// Garbage is a PROXY header that a server took for input of its client.
type Garbage struct {
	// Socket is who sent it.
	Socket  netip.AddrPort     `json:"socket"`
	Version proxyproto.Version `json:"version"`
	// Input is what the application got to see first, in Go's quoting.
	Input string `json:"input"`
}

// EchoSeen is what the echo server answers, as a line of JSON, to the line "who am i, in detail".
type EchoSeen struct {
	Peer
	// Server is the server's own end of the connection: of several pods behind one frontend, the one that answered.
	Server netip.AddrPort `json:"server"`
}

func detail(conn *PeerConn) string {
	b, err := json.Marshal(EchoSeen{conn.Peer, AddrPortOf(conn.LocalAddr())})
	if err != nil {
		return fmt.Sprintf("encode answer: %v\n", err) // not reached: all of it can be encoded
	}
	return string(b) + "\n"
}

// garbageOf tells whether what the connection begins with, as far as it is here, is a PROXY header that nobody parsed.
func garbageOf(conn *PeerConn) (Garbage, bool) {
	begin, _ := conn.reader.Peek(min(conn.reader.Buffered(), maxGarbageInput))
	version := proxyproto.Signature(begin)
	return Garbage{Socket: conn.Peer.Socket, Version: version, Input: fmt.Sprintf("%q", begin)}, version != proxyproto.None
}

// echoRecord is the report in the making.
type echoRecord struct {
	mu   sync.Mutex
	data EchoReport
}

// connection counts a TCP connection, or its refusal.
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
