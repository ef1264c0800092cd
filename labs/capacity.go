package labs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/shape"
)

const (
	// probeTime is the duration of a probe of what the machine carries. The time before probeFrom does not count: it is TCP's start-up.
	probeTime = 800 * time.Millisecond
	probeFrom = 200 * time.Millisecond
	// probeEnough is the part of the links' rates that it must carry, over the whole of the rest: 5 % are for TCP's first losses and its
	// recovery.
	probeEnough = 0.95
	// probeHeadroom is how much more than the lab's links allow the machine must carry. A data path takes up to a third more CPU time than
	// plain forwarding, so a machine that just carries the plain traffic would find a data path slow that isn't.
	probeHeadroom = 1.33
)

// load is what a probe has the machine carry: transfers between clients and pod nodes, in one direction, at the rate that the links allow.
type load struct {
	direction workload.Direction
	// want is the rate in bit/s; it shows at the ports of the nodes of role, which are the narrower end.
	want float64
	role topologies.Role
}

// loads are what a lab on the plan asks of the machine at most: the clients download from all pod nodes at once, past the LB node; and if
// more crosses links where the LB node is in the way, because it crosses its link twice, they upload at the same time.
func loads(p *topologies.Plan) []load {
	var all []load
	for _, d := range []workload.Direction{workload.Download, workload.Upload} {
		client, worker := rateOf(p, topologies.RoleClient, d == workload.Download), rateOf(p, topologies.RoleWorker, d == workload.Upload)
		l := load{d, lower(client, worker), topologies.RoleWorker}
		if l.want == 0 {
			continue
		}
		if l.want == client {
			l.role = topologies.RoleClient
		}
		all = append(all, l)
		through := lower(rateOf(p, topologies.RoleLB, true), rateOf(p, topologies.RoleLB, false))
		if through == 0 || 2*through <= l.want { // four links at its rate are less than two at the ends'
			break
		}
	}
	return all
}

// rateOf returns the sum of the rates of all nodes of a role in one direction; 0, no limit, if there is none, or one has none.
func rateOf(p *topologies.Plan, role topologies.Role, toNode bool) float64 {
	sum := 0.0
	for _, n := range p.Nodes {
		if n.Role != role {
			continue
		}
		shape := n.FromNode
		if toNode {
			shape = n.ToNode
		}
		if shape.Rate == 0 {
			return 0
		}
		sum += float64(shape.Rate)
	}
	return sum
}

// lower returns the lower of two limits, where 0 means no limit.
func lower(a, b float64) float64 {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// probe finds out what part of what the plan's links allow the machine carries now, and how much that is in bit/s; 1 where no link limits
// clients and pod nodes.
func (x *execution) probe(ctx context.Context) (share, carried float64, err error) {
	share = 1
	all := loads(x.plan)
	if len(all) == 0 {
		return share, 0, nil
	}
	targets, closeAll, err := x.bulkServers(ctx, topologies.RoleWorker)
	if err != nil {
		return 0, 0, err
	}
	defer closeAll()
	var names []string
	for _, n := range x.plan.Nodes {
		names = append(names, n.Name)
	}
	began, followed := time.Now(), x.follow(names...)
	err = x.transferAll(ctx, all, targets)
	counts, countErr := followed()
	if err := errors.Join(err, countErr); err != nil {
		return 0, 0, err
	}
	seen := between(counts, began.Add(probeFrom), began.Add(probeTime))
	for _, l := range all {
		got := 0.0
		for i, n := range x.plan.Nodes {
			if n.Role != l.role {
				continue
			}
			direction := seen.ports[i].fromNode
			if (l.role == topologies.RoleClient) == (l.direction == workload.Download) {
				direction = seen.ports[i].toNode
			}
			got += 8 * wireBytes(direction) / (probeTime - probeFrom).Seconds()
		}
		share, carried = min(share, got/l.want), carried+got
	}
	return share, carried, nil
}

// setLinks sets all limited links to the rates of a plan.
func (x *execution) setLinks(p *topologies.Plan) error {
	for _, n := range p.Nodes {
		if !n.Limited() {
			continue
		}
		if err := x.testbed.Network().Reshape(n.Name, n.ToNode, n.FromNode); err != nil {
			return fmt.Errorf("set the link of %s: %w", n.Name, err)
		}
	}
	return nil
}

// bulkServers starts a server on every node of a role, until the returned function is called.
func (x *execution) bulkServers(ctx context.Context, role topologies.Role) (targets []netip.AddrPort, closeAll func(), err error) {
	var all []*workload.Servers
	closeAll = func() {
		for _, s := range all {
			s.Close()
		}
	}
	for _, n := range x.plan.Nodes {
		if n.Role != role {
			continue
		}
		servers, err := workload.Start(ctx, x.testbed.Enter(n.Name), slog.New(slog.DiscardHandler),
			workload.ServerSpec{Kind: workload.KindBulk, Listen: netip.AddrPortFrom(n.Address.Addr(), 0)})
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("server on %s: %w", n.Name, err)
		}
		all = append(all, servers)
		targets = append(targets, servers.Listening()[0].Address)
	}
	return targets, closeAll, nil
}

// transferAll has every client transfer from, or to, all targets at once.
func (x *execution) transferAll(ctx context.Context, all []load, targets []netip.AddrPort) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, n := range x.plan.Nodes {
		if n.Role != topologies.RoleClient {
			continue
		}
		for _, target := range targets {
			for _, l := range all {
				group.Go(func() error {
					_, err := workload.Bulk(ctx, workload.BulkOptions{
						Dialer: workload.Dialer{Enter: x.testbed.Enter(n.Name)}, Target: target, Direction: l.direction,
						Duration: probeTime, CongestionControl: x.plan.CongestionControl,
					})
					return err
				})
			}
		}
	}
	return group.Wait()
}

// fitToMachine gives the links the largest rates that the machine carries now, or those that were asked for, and calibrates them.
func (s *Session) fitToMachine(ctx context.Context, x *execution) error {
	scale, reason := max(s.runner.Scale, s.atMost, 1), ""
	if x.plan.Limited() && s.lab.usesRates() {
		var err error
		if scale, reason, err = s.fitLinks(ctx, x, scale); err != nil {
			return err
		}
	}
	s.scale, s.plan = scale, x.plan
	if reason != "" {
		s.runner.Narrator.Notice(reason)
	}
	return errors.Join(s.recorder.SetScale(scale.String(), reason), s.recorder.Describe("links", s.plan.Nodes))
}

// usesRates reports whether the results of any step depend on the links' rates.
func (l *Lab) usesRates() bool {
	for i := range l.Spec.Phases {
		for j := range l.Spec.Phases[i].Steps {
			_, a, _ := l.Spec.Phases[i].Steps[j].action()
			if _, ok := a.(rateDependent); ok {
				return true
			}
		}
	}
	return false
}

// fitLinks tries the scales from the given one on, until the machine carries what the lab asks for; of one that was asked for it only finds
// out whether it does. The reason says what it found, if all is not as in the topology.
func (s *Session) fitLinks(ctx context.Context, x *execution, scale Scale) (_ Scale, reason string, err error) {
	full, first := x.plan, 0.0
	for {
		x.plan = full.Scaled(int(scale)).Raised(probeHeadroom)
		if err := x.setLinks(x.plan); err != nil {
			return 0, "", err
		}
		share, carried, err := x.probe(ctx)
		if err != nil {
			return 0, "", fmt.Errorf("find out what the machine carries: %w", err)
		}
		x.plan = full.Scaled(int(scale))
		if err := x.setLinks(x.plan); err != nil {
			return 0, "", err
		}
		if first == 0 {
			first = carried
		}
		fits := share >= probeEnough
		if fits {
			if err := x.calibrate(ctx); err != nil {
				return 0, "", fmt.Errorf("calibrate: %w", err)
			}
			fits = len(x.uncalibrated) == 0
		}
		smaller, ok := scale.next()
		if fits || s.runner.Scale != 0 || !ok {
			return scale, describeScale(scale, fits, s.runner.Scale != 0, first), nil
		}
		scale = smaller
	}
}

// describeScale tells of a scale what the machine carried when it was asked first; empty if all is as in the topology.
func describeScale(scale Scale, fits, asked bool, carried float64) string {
	divided := fmt.Sprintf("all rates are divided by %d", int(scale))
	switch {
	case fits && scale == 1:
		return ""
	case fits && asked:
		return "As asked for, " + divided + "."
	case fits:
		return fmt.Sprintf("This machine carries %s now: %s.", describeRate(carried), divided)
	case scale == 1:
		return fmt.Sprintf("This machine carries %s now, which is less than the lab asks for.", describeRate(carried))
	}
	return fmt.Sprintf("This machine carries %s now, which is less than the lab asks for, although %s.", describeRate(carried), divided)
}

// wireBytes are what a limited direction carried, with each frame's overhead; 0 if it has no limit.
func wireBytes(s shape.Stats) float64 {
	if s.Shape.Rate == 0 || s.Shape.Overhead == nil {
		return 0
	}
	return float64(s.Bytes) + float64(s.Packets)*float64(*s.Shape.Overhead)
}
