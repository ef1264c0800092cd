package obstacle

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/nftables"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// testLabs are what this package's tests have built.
var testLabs labtest.Labs

func TestMain(m *testing.M) { os.Exit(testLabs.Main(m)) }

// two is a network of two nodes.
const two = `apiVersion: dsrlab.dev/v1alpha1
kind: Topology
metadata: {name: two}
spec:
  networks:
  - {name: lan, subnets: [192.168.1.0/24], gateways: [192.168.1.254]}
  nodes:
  - {name: lb, role: lb, addresses: [192.168.1.11], podCIDRs: [10.0.0.0/24]}
  - {name: worker, role: worker, addresses: [192.168.1.21], podCIDRs: [10.0.1.0/24]}
`

func newTestbed(t *testing.T) *testbed.Testbed {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	topology, err := topologies.Parse("two.yaml", []byte(two))
	require.NoError(t, err)
	plan, err := topologies.PlanOf(topology)
	require.NoError(t, err)
	tb, _, err := testbed.Up(t.Context(), plan, testbed.Options{StateDir: testLabs.StateDir(t), LabPod: os.Args[0]})
	require.NoError(t, err)
	return tb
}

// tables are the names of the fabric's nf_tables.
func tables(t *testing.T, tb *testbed.Testbed) []string {
	t.Helper()
	names := []string{}
	require.NoError(t, tb.Network().Do(netns.Fabric, func() error {
		conn, err := nftables.New()
		require.NoError(t, err)
		all, err := conn.ListTables()
		require.NoError(t, err)
		for _, table := range all {
			names = append(names, table.Name)
		}
		return nil
	}))
	return names
}

// endsAfter is a context that ends when it has been asked a number of times whether it has.
type endsAfter struct {
	context.Context
	times *int
}

func (c endsAfter) Err() error {
	if *c.times == 0 {
		return context.Canceled
	}
	*c.times--
	return nil
}

// However many obstacles are there when a command is interrupted, Set fails and leaves none.
func TestSetInterrupted(t *testing.T) {
	tb := newTestbed(t)
	record := filepath.Join(tb.Network().Dir(), obstaclesFile)
	names := []string{"source-check", "geneve-blocked"}
	for installed := range len(names) + 1 {
		ctx := endsAfter{context.Background(), &installed}
		require.ErrorIs(t, Set(ctx, tb, names...), context.Canceled)
		assert.Empty(t, tables(t, tb))
		assert.NoFileExists(t, record)
	}
	require.NoError(t, Set(t.Context(), tb, names...))
	assert.ElementsMatch(t, []string{"dsrlab-drop-source-check", "dsrlab-drop-geneve-blocked"}, tables(t, tb))
	never := 0
	require.ErrorIs(t, Set(endsAfter{context.Background(), &never}, tb), context.Canceled)
	assert.Empty(t, tables(t, tb))
}

// A record that was written before it was written all at once may be empty, or end with a line.
func TestSetAfterBrokenRecord(t *testing.T) {
	tb := newTestbed(t)
	record := filepath.Join(tb.Network().Dir(), obstaclesFile)
	require.NoError(t, Set(t.Context(), tb, "geneve-blocked"))
	require.NoError(t, os.WriteFile(record, []byte("geneve-blocked\n"), 0o600))
	require.NoError(t, Set(t.Context(), tb))
	assert.Empty(t, tables(t, tb))
	assert.NoFileExists(t, record)
	require.NoError(t, os.WriteFile(record, nil, 0o600))
	require.NoError(t, Set(t.Context(), tb))
	assert.NoFileExists(t, record)
}
