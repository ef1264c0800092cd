package application

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/dsrlab/dsrlab/labs/workload"
)

// Region assigns a region to the addresses of a prefix.
type Region struct {
	Prefix netip.Prefix
	Name   string
}

// ParseRegion parses PREFIX=NAME.
func ParseRegion(s string) (Region, error) {
	text, name, found := strings.Cut(s, "=")
	prefix, err := netip.ParsePrefix(text)
	if !found || err != nil || name == "" {
		return Region{}, fmt.Errorf("region: found %q (want PREFIX=NAME, as 192.0.2.0/24=eu)", s)
	}
	return Region{Prefix: prefix.Masked(), Name: name}, nil
}

// Geo answers each client with the name of its region, by longest prefix match of the address.
type Geo struct {
	table   []Region // longest prefix first
	clients clients[GeoClient]
}

// UnknownRegion is the region of addresses that the table does not contain.
const UnknownRegion = "unknown"

// GeoRecord holds the regions that clients were assigned to.
type GeoRecord struct {
	// Regions counts requests.
	Regions map[string]int           `json:"regions"`
	Clients map[netip.Addr]GeoClient `json:"clients"`
}

// GeoClient is one client.
type GeoClient struct {
	Region   string `json:"region"`
	Requests int    `json:"requests"`
}

// NewGeo returns a Geo with a table, in which each prefix may occur once.
func NewGeo(table []Region) (*Geo, error) {
	table = slices.Clone(table)
	for i := range table {
		if !table[i].Prefix.IsValid() || table[i].Name == "" {
			return nil, fmt.Errorf("region %d: found an empty field (want a prefix and a name)", i)
		}
		table[i].Prefix = table[i].Prefix.Masked()
	}
	slices.SortStableFunc(table, func(a, b Region) int { return b.Prefix.Bits() - a.Prefix.Bits() })
	seen := map[netip.Prefix]bool{}
	for _, region := range table {
		if seen[region.Prefix] {
			return nil, fmt.Errorf("region %s: found the prefix twice (want it once)", region.Prefix)
		}
		seen[region.Prefix] = true
	}
	return &Geo{table: table}, nil
}

// Kind implements App.
func (g *Geo) Kind() workload.Kind { return "geo" }

// Record implements App; it is a GeoRecord.
func (g *Geo) Record() any {
	record := GeoRecord{Regions: map[string]int{}, Clients: g.clients.copy()}
	for _, one := range record.Clients {
		record.Regions[one.Region] += one.Requests
	}
	return record
}

// Serve implements App.
func (g *Geo) Serve(w http.ResponseWriter, _ *http.Request, client netip.AddrPort) {
	region := g.region(client.Addr())
	if g.clients.with(w, client.Addr(), func(c *GeoClient) { c.Region = region; c.Requests++ }) {
		fmt.Fprintln(w, region)
	}
}

func (g *Geo) region(addr netip.Addr) string {
	for _, region := range g.table {
		if region.Prefix.Contains(addr) {
			return region.Name
		}
	}
	return UnknownRegion
}
