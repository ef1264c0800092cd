package measure

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies"
)

const (
	// probeTime is the duration of a probe of what the machine carries. The time before probeFrom does not count: it is TCP's start-up.
	probeTime = 800 * time.Millisecond
	probeFrom = 200 * time.Millisecond
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

// Probe finds out what part of what the plan's links allow the machine carries now, and how much that is in bit/s; 1 where no link limits
// clients and pod nodes.
func Probe(ctx context.Context, tb *testbed.Testbed, p *topologies.Plan) (share, carried float64, err error) {
	share = 1
	all := loads(p)
	if len(all) == 0 {
		return share, 0, nil
	}
	targets, closeAll, err := bulkServers(ctx, tb, p, topologies.RoleWorker)
	if err != nil {
		return 0, 0, err
	}
	defer closeAll()
	var names []string
	for _, n := range p.Nodes {
		names = append(names, n.Name)
	}
	began, followed := time.Now(), Follow(tb, names...)
	err = transferAll(ctx, tb, p, all, targets)
	readings, countErr := followed()
	if err := errors.Join(err, countErr); err != nil {
		return 0, 0, err
	}
	seen := Between(readings, began.Add(probeFrom), began.Add(probeTime))
	for _, l := range all {
		got := 0.0
		for i, n := range p.Nodes {
			if n.Role != l.role {
				continue
			}
			direction := seen[i].FromNode
			if (l.role == topologies.RoleClient) == (l.direction == workload.Download) {
				direction = seen[i].ToNode
			}
			got += 8 * wireBytes(direction) / (probeTime - probeFrom).Seconds()
		}
		share, carried = min(share, got/l.want), carried+got
	}
	return share, carried, nil
}

// bulkServers starts a server on every node of a role, until the returned function is called.
func bulkServers(ctx context.Context, tb *testbed.Testbed, p *topologies.Plan, role topologies.Role) (targets []netip.AddrPort, closeAll func(), err error) {
	var all []*workload.Servers
	closeAll = func() {
		for _, s := range all {
			s.Close()
		}
	}
	for _, n := range p.Nodes {
		if n.Role != role {
			continue
		}
		servers, err := workload.Start(ctx, tb.Enter(n.Name), slog.New(slog.DiscardHandler),
			workload.ServerSpec{Kind: workload.KindBulk, Listen: netip.AddrPortFrom(n.Addresses[0].Addr(), 0)})
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
func transferAll(ctx context.Context, tb *testbed.Testbed, p *topologies.Plan, all []load, targets []netip.AddrPort) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, n := range p.Nodes {
		if n.Role != topologies.RoleClient {
			continue
		}
		for _, target := range targets {
			for _, l := range all {
				group.Go(func() error {
					_, err := workload.Bulk(ctx, workload.BulkOptions{
						Dialer: workload.Dialer{Enter: tb.Enter(n.Name)}, Target: target, Direction: l.direction,
						Duration: probeTime, CongestionControl: p.CongestionControl,
					})
					return err
				})
			}
		}
	}
	return group.Wait()
}
