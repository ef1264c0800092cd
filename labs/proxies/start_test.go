package proxies

import (
	"net/netip"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// testLabs are what this package's tests have built.
var testLabs labtest.Labs

func TestMain(m *testing.M) { os.Exit(testLabs.Main(m)) }

func proxiesLab(t *testing.T) *netns.Network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	topology, err := topologies.Lookup("proxies")
	require.NoError(t, err)
	plan, err := topologies.PlanOf(topology)
	require.NoError(t, err)
	lab, err := netns.Up(t.Context(), plan, netns.Options{StateDir: testLabs.StateDir(t), Name: "test-proxies"})
	require.NoError(t, err)
	return lab
}

// A proxy listens when Start returns and is gone when Close does, so that another one can take its place; one that can't start
// leaves nothing behind.
func TestStartAndClose(t *testing.T) {
	lab := proxiesLab(t)
	listens := func() bool {
		var there bool
		require.NoError(t, lab.Do("proxy", func() error {
			table, err := os.ReadFile("/proc/thread-self/net/tcp")
			there = listensIn(string(table), netip.MustParseAddrPort("1.2.3.5:8000"))
			return err
		}))
		return there
	}
	first := *over4(proxyproto.None)
	for _, e := range []Engine{Builtin, Nginx, HAProxy} {
		t.Run(string(e), func(t *testing.T) {
			needEngine(t, e)
			for range 2 {
				running, err := Start(t.Context(), lab, e, first)
				require.NoError(t, err)
				assert.True(t, listens())
				require.NoError(t, running.Close(t.Context()))
				assert.False(t, listens())
			}
			second := first
			second.Name, second.Listen = "elsewhere", netip.MustParseAddrPort("1.2.3.6:8000") // not this node's address
			_, err := Start(t.Context(), lab, e, first, second)
			require.ErrorContains(t, err, "start proxy elsewhere: ")
			if e != Builtin {
				assert.ErrorContains(t, err, "its log: ")
			}
			assert.False(t, listens(), "the first one is gone, too")
			assert.False(t, lab.IsRunning(first.Name) || lab.IsRunning(second.Name))
		})
	}
}
