package application

import (
	"fmt"
	"net/http"
	"net/netip"

	"github.com/dsrlab/dsrlab/labs/workload"
)

// Visitors counts visitors by address. It answers each with the number of its visits and of all visitors.
type Visitors struct {
	clients clients[int]
}

// VisitorsRecord holds the numbers of visitors and visits.
type VisitorsRecord struct {
	// Visitors are distinct addresses; Requests are all visits.
	Visitors int `json:"visitors"`
	Requests int `json:"requests"`
	// Clients counts each one's visits.
	Clients map[netip.Addr]int `json:"clients"`
}

// NewVisitors returns an empty count.
func NewVisitors() *Visitors { return &Visitors{} }

// Kind implements App.
func (v *Visitors) Kind() workload.Kind { return "visitors" }

// Record implements App; it is a VisitorsRecord.
func (v *Visitors) Record() any {
	record := VisitorsRecord{Clients: v.clients.copy()}
	record.Visitors = len(record.Clients)
	for _, visits := range record.Clients {
		record.Requests += visits
	}
	return record
}

// Serve implements App.
func (v *Visitors) Serve(w http.ResponseWriter, _ *http.Request, client netip.AddrPort) {
	visit, visitors := 0, 0
	if v.clients.with(w, client.Addr(), func(visits *int) { *visits++; visit, visitors = *visits, len(v.clients.all) }) {
		fmt.Fprintf(w, "visit %d of %s, %d visitors\n", visit, client.Addr(), visitors)
	}
}
