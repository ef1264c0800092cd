package observe

import (
	"net/netip"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/labs/testbed"
)

// testLabs are what this package's tests have built.
var testLabs labtest.Labs

func TestMain(m *testing.M) { os.Exit(testLabs.Main(m)) }

var (
	dsr     = testbed.Variant{Name: "dsr", DataPath: testbed.DataPathDSRLab, Mode: services.ModeDSR}
	echoVIP = netip.MustParseAddrPort("185.150.8.128:8080")
)

// serving is the topology talk without shaped links, with the pods' workload served by the test itself.
func serving(t *testing.T) *testbed.Testbed {
	t.Helper()
	plan, pods := labtest.Plan(t, "talk", nil)
	tb, _, err := testbed.Up(t.Context(), plan, testbed.Options{StateDir: testLabs.StateDir(t), Name: "test-observe", LabPod: os.Args[0]})
	require.NoError(t, err)
	labtest.Serve(t, tb, pods)
	return tb
}
