package stand

import (
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/results/stats"
	"github.com/dsrlab/dsrlab/topologies"
)

// BenchmarkUnshaped compares the variants where no link limits them: what the data path itself costs. The variants take turns,
// so that a noisy machine hits them alike; the ratios to plain routing are what counts.
func BenchmarkUnshaped(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("needs root: makes network namespaces")
	}
	s := standWith(b, "talk", func(t *topologies.Topology) {
		for i := range t.Spec.Nodes {
			t.Spec.Nodes[i].Link = topologies.LinkSpec{} // not shaped
		}
	})
	servers, err := workload.Start(b.Context(), s.Enter(s.plan.Pods[0].Name), nil,
		workload.ServerSpec{Kind: workload.KindBulk, Listen: netip.AddrPortFrom(netip.Addr{}, 5201)})
	require.NoError(b, err)
	defer servers.Close()
	variants := []Variant{
		{Name: "none", DataPath: DataPathNone},
		{Name: "kube-proxy", DataPath: DataPathKubeProxy},
		{Name: "snat", DataPath: DataPathDSRLab, Mode: services.ModeSNAT},
		{Name: "dsr", DataPath: DataPathDSRLab, Mode: services.ModeDSR},
	}
	const turns = 9
	directions := []workload.Direction{workload.Download, workload.Upload}
	rates := make(map[workload.Direction]map[string][]float64)
	for _, d := range directions {
		rates[d] = make(map[string][]float64)
	}
	for range turns {
		for _, v := range variants {
			require.NoError(b, s.Install(b.Context(), v))
			to, err := s.Target(Target{Service: "tcp-echo", Port: "bulk"}, v)
			require.NoError(b, err)
			for _, d := range directions {
				rates[d][v.Name] = append(rates[d][v.Name], goodput(b, s, to, d))
			}
		}
	}
	for _, d := range directions {
		for _, v := range variants {
			median := stats.Median(rates[d][v.Name])
			b.ReportMetric(median/1e9, fmt.Sprintf("%s/%s-Gbit/s", d, v.Name))
			b.ReportMetric(median/stats.Median(rates[d]["none"]), fmt.Sprintf("%s/%s-of-none", d, v.Name))
		}
	}
}

// goodput transfers for a second.
func goodput(b *testing.B, s *Stand, to netip.AddrPort, d workload.Direction) float64 {
	report, err := workload.Bulk(b.Context(), workload.BulkOptions{
		Dialer: workload.Dialer{Enter: s.Enter("client")}, Target: to, Direction: d, Duration: time.Second,
	})
	require.NoError(b, err)
	if d == workload.Upload {
		return report.Upload.Goodput
	}
	return report.Download.Goodput
}
