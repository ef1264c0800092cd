package baseline

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
)

// Install makes the rules of the network namespace that netns, an open file descriptor, stands for follow config, in one
// transaction. What an earlier Install left and config still asks for is not touched and goes on counting, so that a frontend that
// is in both is translated throughout. Connections that conntrack knows stay as they are, except UDP ones whose endpoint is gone
// (as kube-proxy does it) and, when the form changes, all. With FormNone it is Remove.
func Install(ctx context.Context, netns int, config Config) error {
	if err := config.check(); err != nil {
		return fmt.Errorf("install %s rules: %w", config.Form, err)
	}
	if config.Form == FormNone {
		return Remove(ctx, netns)
	}
	conn, done, err := open(ctx, netns)
	if err != nil {
		return fmt.Errorf("install %s rules: %w", config.Form, err)
	}
	defer done()
	before, err := ownTables(conn)
	if err != nil {
		return fmt.Errorf("install %s rules: %w", config.Form, err)
	}
	if err := replace(conn, before, plan(&config)); err != nil {
		return fmt.Errorf("install %s rules: %w", config.Form, err)
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("install %s rules: %w", config.Form, err)
	}
	if len(before) > 0 && before[0].Name != string(config.Form) {
		return forgetAll(netns)
	}
	return forgetStale(netns, &config)
}

// replace adds to the batch of conn what makes rulesets of tables.
func replace(conn *nftables.Conn, before []*nftables.Table, after []*ruleset) error {
	kept := map[family]*installed{}
	for _, table := range before {
		i := slices.IndexFunc(after, func(r *ruleset) bool { return r.table == table.Name && r.family.nft() == table.Family })
		if i >= 0 {
			old, err := readInstalled(conn, table)
			if err != nil {
				return err
			}
			if old.fits(after[i]) {
				kept[after[i].family] = old
				continue
			}
		}
		conn.DelTable(table)
	}
	for _, r := range after {
		if err := write(conn, r, kept[r.family]); err != nil {
			return err
		}
	}
	return nil
}

// Remove takes away whatever Install left in the namespace, and what conntrack knows of it. It is no error if there is
// nothing.
func Remove(ctx context.Context, netns int) error {
	conn, done, err := open(ctx, netns)
	if err != nil {
		return fmt.Errorf("remove baseline rules: %w", err)
	}
	defer done()
	tables, err := ownTables(conn)
	if err != nil || len(tables) == 0 {
		return err
	}
	for _, table := range tables {
		conn.DelTable(table)
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("remove baseline rules: %w", err)
	}
	return forgetAll(netns)
}

// socketBuffer is room for the kernel's answers to a transaction, one for each message, and for the transaction itself: both are
// lost when they don't fit. Some ten thousand rules do.
const socketBuffer = 32 << 20

// open connects to the nf_tables of a namespace, until done. Descriptor 0 would be the caller's own namespace, which nobody means.
func open(ctx context.Context, netns int) (conn *nftables.Conn, done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if netns <= 0 {
		return nil, nil, fmt.Errorf("network namespace: file descriptor %d is none, use that of an open namespace", netns)
	}
	conn, err = nftables.New(nftables.WithNetNSFd(netns), nftables.AsLasting(), nftables.WithSockOptions(
		func(c *netlink.Conn) error {
			return errors.Join(c.SetReadBuffer(socketBuffer), c.SetWriteBuffer(socketBuffer))
		}))
	if err != nil {
		return nil, nil, fmt.Errorf("open nf_tables of network namespace: %w", err)
	}
	return conn, func() { _ = conn.CloseLasting() }, nil
}

// ownTables are the tables that Install makes, as far as they are there.
func ownTables(conn *nftables.Conn) ([]*nftables.Table, error) {
	all, err := conn.ListTables()
	if err != nil {
		return nil, fmt.Errorf("list nf_tables: %w", err)
	}
	return slices.DeleteFunc(all, func(t *nftables.Table) bool {
		form := Form(t.Name)
		ip := t.Family == nftables.TableFamilyIPv4 || t.Family == nftables.TableFamilyIPv6
		return !ip || form != FormKubeProxy && form != FormDNATOnly
	}), nil
}
