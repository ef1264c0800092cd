package ui

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/results/stats"
)

// BenchmarkViewers compares downloads that two people look at with downloads that nobody looks at. Both take turns, now one first and
// now the other, so that a noisy machine hits them alike; the ratio of the pairs is what counts, with its 95 % interval.
func BenchmarkViewers(b *testing.B) {
	const pairs, viewers = 20, 2
	live := newLive(b, "talk", services.ModeDSR)
	server, err := New(Config{Testbed: live, Token: token, Loopback: true})
	require.NoError(b, err)
	web := httptest.NewServer(server)
	b.Cleanup(func() { web.CloseClientConnections(); web.Close() })
	to, err := live.tb.Target(testbed.Target{Service: "tcp-echo", Port: "bulk"}, testbed.Variant{Name: "dsr", DataPath: testbed.DataPathDSRLab, Mode: services.ModeDSR})
	require.NoError(b, err)

	download := func() float64 {
		report, err := workload.Bulk(b.Context(), workload.BulkOptions{
			Dialer: workload.Dialer{Enter: live.tb.Enter("client")}, Target: to, Direction: workload.Download, Duration: 3 * time.Second,
		})
		require.NoError(b, err)
		return report.Download.PayloadRate
	}
	viewed := func() float64 {
		for range viewers {
			defer view(b, web.URL)()
		}
		return download()
	}
	var with, without []float64
	for i := range pairs {
		if i%2 == 0 {
			without = append(without, download())
			with = append(with, viewed())
		} else {
			with = append(with, viewed())
			without = append(without, download())
		}
	}
	ratio, err := stats.Bootstrap{Seed: 1}.PairedRatio(with, without)
	require.NoError(b, err)
	b.ReportMetric(ratio.Value, fmt.Sprintf("with-%d-viewers/without", viewers))
	b.ReportMetric(ratio.Lo, "lowest")
	b.ReportMetric(ratio.Hi, "highest")
	b.ReportMetric(stats.Median(without)/1e6, "Mbit/s-without")
	b.ReportMetric(0, "ns/op")
}

// view reads the page's events until the returned function is called. It returns when the first of them has come.
func view(b *testing.B, url string) (leave func()) {
	response, err := http.Get(url + "/events") //nolint:bodyclose // leave closes it
	require.NoError(b, err)
	require.Equal(b, http.StatusOK, response.StatusCode)
	_, err = io.ReadFull(response.Body, make([]byte, 1))
	require.NoError(b, err)
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(io.Discard, response.Body)
	}()
	return func() {
		response.Body.Close()
		<-read
	}
}
