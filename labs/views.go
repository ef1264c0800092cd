package labs

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/workload"
)

// LBListStep reads the load-balancer table of a node, as `dsrlab lb list` does. Only our own data path has one.
// Samples: listed_dsr (1 if the target's frontend is there in mode dsr) and listed_backends (of the service's ready pods those
// that the frontend lists), both ratio.
type LBListStep struct {
	Node string         `json:"node"`
	To   testbed.Target `json:"to"`
}

func (s *LBListStep) validate(*Lab) []error { return nil }

func (s *LBListStep) run(_ context.Context, t *trial) error {
	to, err := t.testbed.Target(s.To, t.variant)
	if err != nil {
		return err
	}
	pods, err := t.testbed.Backends(s.To, t.variant)
	if err != nil {
		return err
	}
	data, err := t.testbed.OpenDataPath(s.Node)
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
		return errors.Join(t.sample("listed_dsr", "ratio", 0, nil), t.evidence(fmt.Sprintf("%s lists no frontend %v", s.Node, to)))
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
		t.sample("listed_dsr", "ratio", dsr, nil),
		t.sample("listed_backends", "ratio", ratio(found, len(pods)), nil),
		t.evidence(fmt.Sprintf("%s lists %v/%s [%s, %s] with backends %v", s.Node, f.Address, f.Protocol, f.Kind, f.Mode, backends)),
	)
}

// ObserveStep opens connections and looks for them among the flows that the data path reports, as `dsrlab observe` does.
// Sample: observed_to_overlay (ratio): of the connections, those whose SYN was seen from the client (world) to a pod,
// to-overlay, FORWARDED, and with the DSR option.
type ObserveStep struct {
	From  string         `json:"from"`
	To    testbed.Target `json:"to"`
	Count int            `json:"count"`
}

func (s *ObserveStep) validate(*Lab) []error { return checkCount(s.Count) }

func (s *ObserveStep) run(ctx context.Context, t *trial) error {
	to, err := t.testbed.Target(s.To, t.variant)
	if err != nil {
		return err
	}
	discard := func(testbed.Flow) error { return nil }
	if err := t.testbed.Observe(ctx, false, testbed.FlowFilter{}, discard); err != nil { // what was reported before
		return err
	}
	if _, err := workload.Connect(ctx, workload.ConnectOptions{
		Dialer: t.testbed.Dialer(s.From), Protocol: workload.TCP, Target: to, Count: s.Count,
	}); err != nil {
		return err
	}
	clients := make(map[netip.AddrPort]bool)
	shown := ""
	err = t.testbed.Observe(ctx, false, testbed.FlowFilter{From: s.From, Verdict: "forwarded"}, func(f testbed.Flow) error {
		if f.Source.Identity == "world" && f.Destination.Identity == "pod" && f.Observation == "to-overlay" && f.Option {
			clients[f.Source.Address] = true
			shown = f.String()
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := t.sample("observed_to_overlay", "ratio", ratio(len(clients), s.Count), nil); err != nil || shown == "" {
		return err
	}
	return t.evidence("observed: " + shown)
}
