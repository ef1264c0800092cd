package testbed

import (
	"slices"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/labtest"
)

// TestFirewallDropsInvalid: a node's firewall drops what connection tracking calls invalid, as one does that saw one direction of a
// connection only. Its pod's calls of a service go on, wherever the service's pods are.
func TestFirewallDropsInvalid(t *testing.T) {
	tb, _ := linesStand(t, nil)
	require.NoError(t, tb.Install(t.Context(), dsr))
	tables, err := tb.Tables(dsr)
	require.NoError(t, err)
	i := slices.IndexFunc(tables.Frontends, func(f services.Frontend) bool { return f.Kind == services.KindClusterIP && f.PortName == "bulk" })
	caller := tb.plan.Pods[0]
	require.NoError(t, tb.network.Do(caller.Node, dropInvalid))
	assert.Len(t, labtest.Answering(t, tb, caller.Name, tables.Frontends[i].AddrPort(), len(tb.plan.Pods)), len(tb.plan.Pods))
}

// dropInvalid is "ct state invalid drop" in a chain of the hook forward.
func dropInvalid() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "firewall"})
	chain := c.AddChain(&nftables.Chain{
		Name: "forward", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
	})
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Ct{Register: 1, Key: expr.CtKeySTATE},
		&expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(expr.CtStateBitINVALID), Xor: make([]byte, 4),
		},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}})
	return c.Flush()
}
