package steps

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/internal/words"
	"github.com/dsrlab/dsrlab/labs/names"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/topologies"
)

// LBListStep reads the load-balancer table of a node, as `dsrlab lb list` does. Only our own data path has one.
// Samples: listed_dsr (1 if the target's frontend is there in mode dsr) and listed_backends (of the service's ready pods those
// that the frontend lists), both ratio.
type LBListStep struct {
	Node string         `json:"node"`
	To   testbed.Target `json:"to"`
}

func (s *LBListStep) validate() []error { return nil }

func (s *LBListStep) check(n *names.Names) []error {
	return append(names.Known("node", "node", s.Node, n.ClusterNodes), n.Target("to", s.To)...)
}

func (s *LBListStep) measures(*names.Names) []Measurement {
	return Measurements(nil, "listed_dsr", "listed_backends")
}

func (s *LBListStep) run(_ context.Context, t *trial.Attempt) error {
	to, err := t.Testbed.Target(s.To, t.Variant)
	if err != nil {
		return err
	}
	pods, err := t.Testbed.Backends(s.To, t.Variant)
	if err != nil {
		return err
	}
	data, err := t.Testbed.OpenDataPath(s.Node)
	if err != nil {
		return err
	}
	defer data.Close()
	list, err := data.List()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(f dataplane.Listed) bool { return f.Address == to })
	if i < 0 {
		return errors.Join(t.Sample("listed_dsr", "ratio", 0, nil), t.Evidence(fmt.Sprintf("%s lists no frontend %v", s.Node, to)))
	}
	f, dsr, found := list[i], 0.0, 0
	if f.Mode == "dsr" {
		dsr = 1
	}
	var backends []netip.AddrPort
	for _, b := range f.Backends {
		backends = append(backends, b.Address)
		if slices.Contains(pods, b.Address.Addr()) {
			found++
		}
	}
	return errors.Join(
		t.Sample("listed_dsr", "ratio", dsr, nil),
		t.Sample("listed_backends", "ratio", ratio(found, len(pods)), nil),
		t.Evidence(fmt.Sprintf("%s lists %v/%s [%s, %s] with backends %s", s.Node, f.Address, f.Protocol, f.Kind, f.Mode, words.List(backends))),
	)
}

// command implements commander.
func (s *LBListStep) command(testbed.Variant, *topologies.Plan) string { return "sudo dsrlab lb list" }
