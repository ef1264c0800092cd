package observe

import (
	"errors"
	"fmt"
	"io"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/metrics"
	"github.com/dsrlab/dsrlab/labs/testbed"
)

// WriteMetrics writes the counters of all nodes that run our data path as Prometheus' text, each with the label node. It
// returns dataplane.ErrNotLoaded where there is none.
func WriteMetrics(w io.Writer, tb *testbed.Testbed) (err error) {
	names, err := dataplane.LoadNames()
	if err != nil {
		return err
	}
	paths, err := openDataPaths(tb)
	defer func() {
		for _, d := range paths {
			err = errors.Join(err, d.Close())
		}
	}()
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	for node, d := range paths {
		if err := registry.Register(metrics.New(d, names, prometheus.Labels{"node": node})); err != nil {
			return fmt.Errorf("read metrics of %s: %w", node, err)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		return fmt.Errorf("read metrics: %w", err)
	}
	encoder := expfmt.NewEncoder(w, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			return fmt.Errorf("write metrics: %w", err)
		}
	}
	return nil
}
