package testbed

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

// BenchmarkUnshaped compares the variants where no link limits them: what the data path itself costs, in CPU time per gigabyte of
// payload. The variants take turns, so that a noisy machine hits them alike; the ratios to plain routing are what counts. Rates are
// those of this machine.
func BenchmarkUnshaped(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("needs root: makes network namespaces")
	}
	tb := upWith(b, "talk", func(t *topologies.Topology) {
		for i := range t.Spec.Nodes {
			t.Spec.Nodes[i].Link = topologies.LinkSpec{} // not shaped
		}
	})
	servers, err := workload.Start(b.Context(), tb.Enter(tb.plan.Pods[0].Name), nil,
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
	rates, cpu := make(map[workload.Direction]map[string][]float64), make(map[workload.Direction]costs)
	for _, d := range directions {
		rates[d], cpu[d] = make(map[string][]float64), make(costs)
	}
	for range turns {
		for _, v := range variants {
			require.NoError(b, tb.Install(b.Context(), v))
			to, err := tb.Target(Target{Service: "tcp-echo", Port: "bulk"}, v)
			require.NoError(b, err)
			for _, d := range directions {
				var flow workload.Flow
				busy := busyDuring(func() { flow = transfer(b, tb, to, d) })
				rates[d][v.Name] = append(rates[d][v.Name], flow.PayloadRate)
				cpu[d][v.Name] = append(cpu[d][v.Name], busy/float64(flow.Bytes))
			}
		}
	}
	for _, d := range directions {
		cpu[d].report(b, variants, string(d)+"/", "cpu-s/GB", 1e9)
		for _, v := range variants {
			b.ReportMetric(stats.Median(rates[d][v.Name])/1e9, fmt.Sprintf("%s/%s-Gbit/s", d, v.Name))
		}
	}
	b.ReportMetric(0, "ns/op")
}

// transfer transfers for a second.
func transfer(b *testing.B, tb *Testbed, to netip.AddrPort, d workload.Direction) workload.Flow {
	report, err := workload.Bulk(b.Context(), workload.BulkOptions{
		Dialer: workload.Dialer{Enter: tb.Enter("client")}, Target: to, Direction: d, Duration: time.Second,
	})
	require.NoError(b, err)
	if d == workload.Upload {
		return *report.Upload
	}
	return *report.Download
}
