// Package metrics shows what a node's data path has counted to Prometheus.
package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dsrlab/dsrlab/dataplane"
)

// Source is what is counted of one node; a DataPath is one. Its methods may be called by several goroutines at once.
type Source interface {
	Counters(*dataplane.Names) ([]dataplane.Counter, error)
	ServiceCounters() ([]dataplane.ServiceCounter, error)
	MapUsage() ([]dataplane.MapUsage, error)
}

// Collector is a prometheus.Collector over one node. What it reads is read at each scrape; what cannot be read fails the scrape.
type Collector struct {
	source Source
	names  *dataplane.Names

	packets, bytes *prometheus.Desc
	requests       traffic
	answers        traffic
	drops          traffic
	flows          *prometheus.Desc
	entries        *prometheus.Desc
	capacity       *prometheus.Desc
}

// traffic describes packets and bytes of a service.
type traffic struct{ packets, bytes *prometheus.Desc }

// New makes a collector. labels are on all of its metrics; with several nodes in one registry they must tell them apart.
func New(source Source, names *dataplane.Names, labels prometheus.Labels) *Collector {
	desc := func(name, help string, variable ...string) *prometheus.Desc {
		return prometheus.NewDesc("dsrlab_"+name, help, variable, labels)
	}
	service := []string{"namespace", "service", "port", "protocol"}
	serviceTraffic := func(name, what string) traffic {
		return traffic{
			packets: desc("service_"+name+"_packets_total", "Packets "+what+".", service...),
			bytes:   desc("service_"+name+"_bytes_total", "Bytes "+what+", from the Ethernet header on.", service...),
		}
	}
	return &Collector{
		source: source, names: names,
		packets:  desc("packets_total", "Packets by what happened to them; each is counted under one reason.", "verdict", "reason"),
		bytes:    desc("bytes_total", "Bytes by what happened to their packets, from the Ethernet header on.", "verdict", "reason"),
		requests: serviceTraffic("requests", "of clients to a service's port"),
		answers:  serviceTraffic("answers", "from a service's port to its clients"),
		drops:    serviceTraffic("dropped", "to or from a service's port that were dropped"),
		flows:    desc("service_flows_total", "Flows to a service's port that began on this node.", service...),
		entries:  desc("map_entries", "Entries in a map of the data path.", "map"),
		capacity: desc("map_capacity_entries", "Entries that a map of the data path has room for.", "map"),
	}
}

// Describe is prometheus.Collector's.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.packets, c.bytes, c.requests.packets, c.requests.bytes, c.answers.packets, c.answers.bytes,
		c.drops.packets, c.drops.bytes, c.flows, c.entries, c.capacity,
	} {
		out <- d
	}
}

// Collect is prometheus.Collector's.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	c.collectReasons(out)
	c.collectServices(out)
	c.collectMaps(out)
}

func (c *Collector) collectReasons(out chan<- prometheus.Metric) {
	counters, err := c.source.Counters(c.names)
	if err != nil {
		out <- prometheus.NewInvalidMetric(c.packets, err)
		return
	}
	for _, counter := range counters {
		verdict, reason := dataplane.Verdict(counter.Reason), c.names.Reason(counter.Reason)
		out <- count(c.packets, counter.Packets, verdict, reason)
		out <- count(c.bytes, counter.Bytes, verdict, reason)
	}
}

func (c *Collector) collectServices(out chan<- prometheus.Metric) {
	counters, err := c.source.ServiceCounters()
	if err != nil {
		out <- prometheus.NewInvalidMetric(c.flows, err)
		return
	}
	for _, counter := range counters {
		labels := labelsOf(counter.Service)
		for _, one := range []struct {
			desc  traffic
			value dataplane.Traffic
		}{{c.requests, counter.Requests}, {c.answers, counter.Replies}, {c.drops, counter.Drops}} {
			out <- count(one.desc.packets, one.value.Packets, labels...)
			out <- count(one.desc.bytes, one.value.Bytes, labels...)
		}
		out <- count(c.flows, counter.Flows, labels...)
	}
}

func (c *Collector) collectMaps(out chan<- prometheus.Metric) {
	maps, err := c.source.MapUsage()
	if err != nil {
		out <- prometheus.NewInvalidMetric(c.entries, err)
		return
	}
	for _, m := range maps {
		out <- prometheus.MustNewConstMetric(c.entries, prometheus.GaugeValue, float64(m.Used), m.Name)
		out <- prometheus.MustNewConstMetric(c.capacity, prometheus.GaugeValue, float64(m.Capacity), m.Name)
	}
}

func count(desc *prometheus.Desc, value uint64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(value), labels...)
}

// labelsOf takes namespace/name:port/PROTO apart. The port is empty where the service's only port has no name.
func labelsOf(name string) []string {
	namespace, rest, _ := strings.Cut(name, "/")
	service, protocol, _ := strings.Cut(rest, "/")
	service, port, _ := strings.Cut(service, ":")
	return []string{namespace, service, port, protocol}
}
