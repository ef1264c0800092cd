package agent

import (
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/metrics"
)

// metricsHandler opens the node's data path for each scrape, for it comes and goes as its user likes.
type metricsHandler struct{ options Options }

func (h metricsHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	registry := prometheus.NewRegistry()
	loaded := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "dsrlab_loaded", Help: "Whether a data path is loaded on the node.", ConstLabels: prometheus.Labels{"node": h.options.Node},
	})
	registry.MustRegister(append(h.options.Collectors, loaded)...)
	d, err := dataplane.Open(h.options.PinDir)
	switch {
	case err == nil:
		defer d.Close()
		names, err := dataplane.LoadNames()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		loaded.Set(1)
		registry.MustRegister(metrics.New(d, names, prometheus.Labels{"node": h.options.Node}))
	case !errors.Is(err, dataplane.ErrNotLoaded):
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}
