package kube

import "github.com/prometheus/client_golang/prometheus"

// Collectors are the metrics of the agent itself.
func (a *Agent) Collectors() []prometheus.Collector {
	gauge := func(name, help string, value func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "dsrlab_" + name, Help: help, ConstLabels: prometheus.Labels{"node": a.options.Node},
		}, func() float64 { return float64(value()) })
	}
	return []prometheus.Collector{
		gauge("refused_objects", "Objects of the cluster that are not served, or not in all; the log and their Events say why.", a.Refused),
		gauge("unreachable_nodes", "Addresses of other nodes that do not answer ARP or neighbour discovery.", func() int { return len(a.Unreachable()) }),
		gauge("healthy", "Whether the data path does its work, as /healthz says.", func() int {
			if a.Healthy() != nil {
				return 0
			}
			return 1
		}),
	}
}
