package edge

import (
	"net/netip"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
)

// testLabs are what this package's tests have built.
var testLabs labtest.Labs

func TestMain(m *testing.M) { os.Exit(testLabs.Main(m)) }

var (
	dsr     = testbed.Variant{Name: "dsr", DataPath: testbed.DataPathDSRLab, Mode: services.ModeDSR}
	echoVIP = netip.MustParseAddrPort("185.150.8.128:8080")
)

// serving builds a topology without shaped links, with the pods' workload served by the test itself, and with the program that
// speaks BGP.
func serving(t *testing.T, name string, change func(*topologies.Topology)) *testbed.Testbed {
	t.Helper()
	tb, pods := unserved(t, name, change)
	labtest.Serve(t, tb, pods)
	return tb
}

// unserved builds a topology without shaped links and without its workload, and returns its pods with it.
func unserved(t *testing.T, name string, change func(*topologies.Topology)) (*testbed.Testbed, []topologies.Pod) {
	t.Helper()
	plan, pods := labtest.Plan(t, name, change)
	tb, _, err := testbed.Up(t.Context(), plan, testbed.Options{
		StateDir: testLabs.StateDir(t), Name: "test-" + name, LabPod: testLabs.Program(t, "labpod"), Agent: testLabs.Program(t, "dsrd"),
	})
	require.NoError(t, err)
	return tb, pods
}
