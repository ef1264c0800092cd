package baseline

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Status is what Read finds.
type Status struct {
	// Form is what is installed; FormNone if nothing is.
	Form Form `json:"form"`
	// Chains are the chains that count, in the order of family and name.
	Chains []ChainCount `json:"chains,omitempty"`
}

// ChainCount is how many new connections entered a chain since it was installed.
type ChainCount struct {
	Family string `json:"family"` // ip or ip6
	Chain  string `json:"chain"`
	// Packets that entered, one for each connection (for UDP one for each packet until the first answer), and their bytes
	// from the network header on.
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
	// Endpoint is what the chain translates to, if it does.
	Endpoint netip.AddrPort `json:"endpoint,omitzero"`
}

// Masqueraded is how many connections got the node's address, in both families.
func (s *Status) Masqueraded() uint64 {
	return s.sum(func(c ChainCount) bool { return c.Chain == chainMark })
}

// Connections is how many connections were translated to an endpoint.
func (s *Status) Connections(endpoint netip.AddrPort) uint64 {
	return s.sum(func(c ChainCount) bool { return c.Endpoint == endpoint })
}

// Rejected is how many packets were answered with ICMP port unreachable, as no endpoint was there.
func (s *Status) Rejected() uint64 {
	return s.sum(func(c ChainCount) bool { return c.Chain == chainReject })
}

func (s *Status) sum(which func(ChainCount) bool) uint64 {
	var packets uint64
	for _, c := range s.Chains {
		if which(c) {
			packets += c.Packets
		}
	}
	return packets
}

// Read reads what is installed in a namespace, and its counters.
func Read(ctx context.Context, netns int) (*Status, error) {
	conn, done, err := open(ctx, netns)
	if err != nil {
		return nil, fmt.Errorf("read baseline rules: %w", err)
	}
	defer done()
	tables, err := ownTables(conn)
	if err != nil {
		return nil, err
	}
	status := &Status{Form: FormNone}
	for _, table := range tables {
		status.Form = Form(table.Name)
		chains, err := conn.ListChainsOfTableFamily(table.Family)
		if err != nil {
			return nil, fmt.Errorf("list chains of table %s: %w", table.Name, err)
		}
		for _, c := range chains {
			if c.Table.Name != table.Name || c.Hooknum != nil {
				continue
			}
			count, err := readChain(conn, table, c)
			if err != nil {
				return nil, err
			}
			status.Chains = append(status.Chains, count)
		}
	}
	slices.SortFunc(status.Chains, func(a, b ChainCount) int {
		return slices.Compare([]string{a.Family, a.Chain}, []string{b.Family, b.Chain})
	})
	return status, nil
}

// readChain reads the counter that a chain's first rule begins with.
func readChain(conn *nftables.Conn, table *nftables.Table, c *nftables.Chain) (ChainCount, error) {
	f := family{table.Family == nftables.TableFamilyIPv6}
	count := ChainCount{Family: f.String(), Chain: c.Name}
	count.Endpoint, _ = endpointOf(f, c.Name)
	rules, err := conn.GetRules(table, c)
	if err != nil {
		return count, fmt.Errorf("read chain %s: %w", c.Name, err)
	}
	if len(rules) > 0 && len(rules[0].Exprs) > 0 {
		if found, ok := rules[0].Exprs[0].(*expr.Counter); ok {
			count.Packets, count.Bytes = found.Packets, found.Bytes
		}
	}
	return count, nil
}

// endpointOf reads the endpoint out of the name of an endpoint chain.
func endpointOf(f family, chain string) (netip.AddrPort, bool) {
	_, endpoint, ok := strings.Cut(chain, "__")
	if !ok || !strings.HasPrefix(chain, prefixEndpoint) {
		return netip.AddrPort{}, false
	}
	address, port, _ := strings.Cut(endpoint, "/")
	if f.is6 {
		address = "[" + strings.ReplaceAll(address, ".", ":") + "]"
	}
	parsed, err := netip.ParseAddrPort(address + ":" + port)
	return parsed, err == nil
}
