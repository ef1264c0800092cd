package bgp

import (
	"fmt"
	"strings"
)

// BirdConfig returns r as a configuration of BIRD 2. BIRD installs what it learns in the main table of its network namespace, several
// next hops as one route.
func (r *Router) BirdConfig() string {
	var b strings.Builder
	fmt.Fprintf(&b, `router id %s;
log stderr all;
protocol device {}
`, r.ID)
	for _, family := range []struct {
		name string
		bits int
	}{{"ipv4", 32}, {"ipv6", 128}} {
		fmt.Fprintf(&b, `protocol kernel {
  merge paths on;
  metric %d;
  %s { import none; export where source = RTS_BGP; };
}
`, Metric, family.name)
	}
	fmt.Fprintf(&b, `template bgp lb_node {
  local as %d;
  hold time %.0f;
  connect retry time %.0f;
  error wait time 1, 2;
  passive on;
  direct;
`, RouterASN, HoldTime.Seconds(), ConnectRetry.Seconds())
	for _, family := range []string{"ipv4 { import where net.len = 32", "ipv6 { import where net.len = 128"} {
		fmt.Fprintf(&b, "  %s; export none; };\n", family)
	}
	b.WriteString("}\n")
	for i, peer := range r.Peers {
		fmt.Fprintf(&b, "protocol bgp lb%d from lb_node { neighbor %s as %d; }\n", i+1, peer, ClusterASN)
	}
	return b.String()
}
