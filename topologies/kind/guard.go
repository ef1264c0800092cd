package kind

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// guardPriority is ahead of the rules of anyone who accepts what is forwarded.
const guardPriority nftables.ChainPriority = -300

// putGuard keeps the bridge of the nodes' network from forwarding: what comes in by it goes out by it, or not at all, and nothing
// else goes out by it. The table is the lab's own, in the network namespace of this process.
func putGuard(table, bridge string) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("guard %s: %w", bridge, err)
	}
	t := conn.AddTable(&nftables.Table{Name: table, Family: nftables.TableFamilyINet})
	priority := guardPriority
	chain := conn.AddChain(&nftables.Chain{
		Name: "forward", Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: &priority,
	})
	for _, way := range [][2]expr.MetaKey{{expr.MetaKeyIIFNAME, expr.MetaKeyOIFNAME}, {expr.MetaKeyOIFNAME, expr.MetaKeyIIFNAME}} {
		conn.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: []expr.Any{
			&expr.Meta{Key: way[0], Register: unix.NFT_REG_1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: deviceName(bridge)},
			&expr.Meta{Key: way[1], Register: unix.NFT_REG_1},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: unix.NFT_REG_1, Data: deviceName(bridge)},
			&expr.Counter{},
			&expr.Verdict{Kind: expr.VerdictDrop},
		}})
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("guard %s: %w", bridge, err)
	}
	return nil
}

// deviceName is as nftables compares it, IFNAMSIZ bytes.
func deviceName(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

// removeGuard removes the table; it is no error if there is none.
func removeGuard(table string) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("remove guard: %w", err)
	}
	conn.DelTable(&nftables.Table{Name: table, Family: nftables.TableFamilyINet})
	if err := conn.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove guard: %w", err)
	}
	return nil
}
