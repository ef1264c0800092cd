package labtest

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies"
)

// Patience is for what must happen: far more than it takes, so that no test depends on how busy the machine is.
const Patience = 20 * time.Second

// Testbed is what is asked of a testbed.Testbed, whose own tests use this package as well.
type Testbed interface {
	ClusterNodes() []topologies.Node
	OpenDataPath(node string) (*dataplane.DataPath, error)
	Enter(place string) workload.Enter
	Dialer(place string) workload.Dialer
}

// RequirePrograms skips a test without root, and where a program that it runs isn't installed.
func RequirePrograms(t testing.TB, names ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("needs %s: %v", name, err)
		}
	}
}

// Plan plans a topology of the catalogue with links that nothing limits, after change if that is not nil. Of the plan's pods nothing serves,
// but what they would is in the pods that are returned beside it: see Serve.
func Plan(t testing.TB, name string, change func(*topologies.Topology)) (*topologies.Plan, []topologies.Pod) {
	t.Helper()
	topology, err := topologies.Lookup(name)
	require.NoError(t, err)
	if change != nil {
		change(topology)
	}
	for i := range topology.Spec.Nodes {
		topology.Spec.Nodes[i].Link = topologies.LinkSpec{}
	}
	plan, err := topologies.PlanOf(topology)
	require.NoError(t, err)
	pods := slices.Clone(plan.Pods)
	for i := range plan.Pods {
		plan.Pods[i].Workload = nil
	}
	return plan, pods
}

// Serve serves, until the test ends, what the pods of a plan have as workload: from within the test's own process, which needs no other
// program.
func Serve(t testing.TB, tb Testbed, pods []topologies.Pod) {
	t.Helper()
	for _, p := range pods {
		for _, w := range p.Workload {
			servers, err := workload.Start(t.Context(), tb.Enter(p.Name), nil,
				workload.ServerSpec{Kind: workload.Kind(w.Kind), Listen: netip.AddrPortFrom(netip.Addr{}, w.Port)})
			require.NoError(t, err)
			t.Cleanup(func() { servers.Close() })
		}
	}
}

// Connect makes calls to echo servers, all at the same time, and logs what the nodes counted if one gets no answer.
func Connect(t testing.TB, tb Testbed, from string, p workload.Protocol, to netip.AddrPort, count int, timeout time.Duration) *workload.ConnectReport {
	t.Helper()
	report, err := TryConnect(t, tb, from, p, to, count, timeout)
	require.NoError(t, err)
	return report
}

// TryConnect is Connect for goroutines: it fails no test.
func TryConnect(t testing.TB, tb Testbed, from string, p workload.Protocol, to netip.AddrPort, count int, timeout time.Duration) (*workload.ConnectReport, error) {
	report, err := workload.Connect(t.Context(), workload.ConnectOptions{
		Dialer: tb.Dialer(from), Protocol: p, Target: to, Count: count, Concurrency: count, Timeout: timeout,
	})
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(report.Connections, func(c workload.Seen) bool { return c.Outcome != workload.OutcomeOK })
	if i >= 0 {
		c := report.Connections[i]
		t.Logf("%s calls %v over %s: %v; the first that failed, from %v: %s\n%s", from, to, p, report.Outcomes, c.Local, c.Error, Counters(tb))
	}
	return report, nil
}

// Count is how often our data path counted a reason on all nodes that have it; one does, at least.
func Count(t testing.TB, tb Testbed, reason string) (packets uint64) {
	t.Helper()
	names, err := dataplane.LoadNames()
	require.NoError(t, err)
	loaded := false
	for _, n := range tb.ClusterNodes() {
		counters, err := countersOf(tb, n.Name, names)
		if errors.Is(err, dataplane.ErrNotLoaded) {
			continue
		}
		require.NoError(t, err)
		loaded = true
		for _, c := range counters {
			if names.Reason(c.Reason) == reason {
				packets += c.Packets
			}
		}
	}
	require.True(t, loaded, "a node has our data path")
	return packets
}

// Counters is what our data path counted on each node, a line each; for messages, so it has no errors of its own.
func Counters(tb Testbed) string {
	names, err := dataplane.LoadNames()
	if err != nil {
		return err.Error()
	}
	var text strings.Builder
	for _, n := range tb.ClusterNodes() {
		fmt.Fprintf(&text, "%s:", n.Name)
		counters, err := countersOf(tb, n.Name, names)
		for _, c := range counters {
			if c.Packets > 0 {
				fmt.Fprintf(&text, " %s %d", names.Reason(c.Reason), c.Packets)
			}
		}
		if err != nil {
			fmt.Fprintf(&text, " (%v)", err)
		}
		text.WriteByte('\n')
	}
	return text.String()
}

func countersOf(tb Testbed, node string, names *dataplane.Names) (counters []dataplane.Counter, err error) {
	d, err := tb.OpenDataPath(node)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return d.Counters(names)
}
