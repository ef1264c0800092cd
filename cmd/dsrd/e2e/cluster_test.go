package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// cluster is a testbed without a data path of its own: its nodes are for dsrd.
type cluster struct{ *testbed.Testbed }

// newCluster builds a topology of the catalogue with links that nothing limits. It returns its pods too, with the workload that nothing
// serves yet.
func newCluster(t *testing.T, name string) (*cluster, []topologies.Pod) {
	t.Helper()
	plan, pods := labtest.Plan(t, name, nil)
	tb, _, err := testbed.Up(t.Context(), plan, testbed.Options{
		StateDir: programs.StateDir(t), Name: "test-" + name, LabPod: programs.Program(t, "labpod"), Agent: programs.Program(t, "dsrd"),
	})
	require.NoError(t, err)
	return &cluster{tb}, pods
}

// newLinesCluster is five-nodes with pods that say their names at the VIP's port 5201.
func newLinesCluster(t *testing.T) (*cluster, netip.AddrPort) {
	t.Helper()
	tb, pods := newCluster(t, "five-nodes")
	labtest.ServeLines(t, tb, pods, 5201)
	return tb, netip.AddrPortFrom(vip.Addr(), 5201)
}

// vip is that of the topologies' service of echo servers.
var vip = netip.MustParseAddrPort("185.150.8.128:8080")

// allPreserved makes connections to the VIP's echo servers and sends datagrams, and requires that each is answered and that each pod has
// seen its client's address.
func (tb *cluster) allPreserved(t *testing.T, to netip.AddrPort) {
	t.Helper()
	const calls = 30
	for _, protocol := range []workload.Protocol{workload.TCP, workload.UDP} {
		report := labtest.Connect(t, tb, "client", protocol, to, calls, labtest.Patience)
		assert.Equal(t, [2]int{calls, calls}, [2]int{report.Outcomes[workload.OutcomeOK], report.Preserved}, protocol)
	}
}

// routeVIP leads the VIP to one node alone.
func (tb *cluster) routeVIP(t *testing.T, to topologies.Node) {
	t.Helper()
	require.NoError(t, tb.Network().Do(netns.Fabric, func() error {
		return netlink.RouteReplace(&netlink.Route{Dst: netlink.NewIPNet(vip.Addr().AsSlice()), Gw: to.Addresses[0].Addr().AsSlice()})
	}))
}

// hasBackend reports whether a node's data path knows a pod behind a frontend.
func (tb *cluster) hasBackend(t *testing.T, node string, frontend netip.AddrPort, pod netip.Addr) bool {
	t.Helper()
	d, err := tb.OpenDataPath(node)
	require.NoError(t, err)
	defer d.Close()
	all, err := d.List()
	require.NoError(t, err)
	for _, l := range all {
		if l.Address == frontend && slices.ContainsFunc(l.Backends, func(b dataplane.ListedBackend) bool { return b.Address.Addr() == pod }) {
			return true
		}
	}
	return false
}

func (tb *cluster) nodeOf(t *testing.T, name string) topologies.Node {
	t.Helper()
	i := slices.IndexFunc(tb.ClusterNodes(), func(n topologies.Node) bool { return n.Name == name })
	require.GreaterOrEqual(t, i, 0, name)
	return tb.ClusterNodes()[i]
}

func (tb *cluster) addressOf(t *testing.T, node string) string {
	t.Helper()
	return tb.nodeOf(t, node).Addresses[0].Addr().String()
}

// get asks an HTTP server from within a namespace of the testbed.
func (tb *cluster) get(t *testing.T, from, url string) (status int, body string) {
	t.Helper()
	client := http.Client{Timeout: labtest.Patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			err = tb.Network().Do(from, func() error {
				conn, err = new(net.Dialer).DialContext(ctx, network, address)
				return err
			})
			return conn, err
		},
	}}
	response, err := client.Get(url)
	require.NoError(t, err)
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(all)
}
