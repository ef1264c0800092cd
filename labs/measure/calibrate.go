package measure

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
	"github.com/dsrlab/dsrlab/topologies/shape"
)

const (
	calibrationTime = 400 * time.Millisecond
	// calibrationWindow is over how long a bucket is asked for its rate: the best part of a transfer counts, as neither TCP's begin nor a
	// moment in which the machine did something else says anything of the link. What the machine carries all the time is another
	// question (Probe, WiresCeiling).
	calibrationWindow = 200 * time.Millisecond
	// calibrationTries bounds the attempts: the question is what the link can do, so the best attempt counts.
	calibrationTries = 3
	// CalibrationLimit is how far a link may be from its rate before what is measured over it does not count. A bucket's timer that is late
	// by more than its burst loses 5 %, and Ethernet's header and overhead are counted exactly.
	CalibrationLimit = 0.05
)

// Link is one direction of a node's link.
type Link struct {
	Node      topologies.Node
	Direction workload.Direction // as the fabric, which is the client, sees it
	Shape     topologies.Shape
}

// String is to-node or from-node.
func (l Link) String() string {
	if l.Direction == workload.Upload {
		return "to-node"
	}
	return "from-node"
}

// Calibrate measures every link that is shaped in both directions, between its node and the fabric, before a data path is on it, and
// passes what it carried, with each frame's overhead, in proportion to its rate to record. It leaves out links of nodes that skip
// reports, and policers: they delay nothing, so no timer can be late.
func Calibrate(ctx context.Context, tb *testbed.Testbed, p *topologies.Plan, skip func(node string) bool, record func(l Link, carried float64) error) error {
	for _, batch := range without(skip, batches(p)) {
		measured := make([]float64, len(batch))
		group, ctx := errgroup.WithContext(ctx)
		for i, l := range batch {
			group.Go(func() (err error) {
				if measured[i], err = measureLink(ctx, tb, p, l); err != nil {
					return fmt.Errorf("link of %s: %w", l.Node.Name, err)
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		for i, l := range batch {
			if err := record(l, measured[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// without leaves out of each batch the links of nodes that skip reports.
func without(skip func(node string) bool, batches [][]Link) [][]Link {
	var all [][]Link
	for _, batch := range batches {
		kept := slices.DeleteFunc(batch, func(l Link) bool { return skip(l.Node.Name) })
		if len(kept) > 0 {
			all = append(all, kept)
		}
	}
	return all
}

// batches are the directions to calibrate, those together that the machine carries at once.
func batches(p *topologies.Plan) [][]Link {
	var all [][]Link
	var sum, most topologies.Rate
	for _, n := range p.Nodes {
		most = max(most, n.ToNode.Rate, n.FromNode.Rate)
	}
	for _, d := range []workload.Direction{workload.Upload, workload.Download} {
		sum = most // begins a batch
		for _, n := range p.Nodes {
			l := Link{n, d, n.FromNode}
			if d == workload.Upload {
				l.Shape = n.ToNode
			}
			if l.Shape.Rate == 0 || l.Shape.Limit == topologies.LimitPolice {
				continue
			}
			if sum += l.Shape.Rate; sum > most {
				all, sum = append(all, nil), l.Shape.Rate
			}
			all[len(all)-1] = append(all[len(all)-1], l)
		}
	}
	return all
}

// measureLink is what a direction of a link carries in proportion to its rate: the best of a few tries, the first that is near enough.
func measureLink(ctx context.Context, tb *testbed.Testbed, p *topologies.Plan, l Link) (float64, error) {
	servers, err := workload.Start(ctx, tb.Enter(l.Node.Name), slog.New(slog.DiscardHandler),
		workload.ServerSpec{Kind: workload.KindBulk, Listen: netip.AddrPortFrom(l.Node.Addresses[0].Addr(), 0)})
	if err != nil {
		return 0, err
	}
	defer servers.Close()
	best := 0.0
	for range calibrationTries {
		carried := Follow(tb, l.Node.Name)
		_, err := workload.Bulk(ctx, workload.BulkOptions{
			Dialer: workload.Dialer{Enter: tb.Enter(netns.Fabric)}, Target: servers.Listening()[0].Address, Direction: l.Direction,
			Duration: calibrationTime, CongestionControl: p.CongestionControl,
		})
		readings, countErr := carried()
		if err = errors.Join(err, countErr); err != nil {
			return 0, err
		}
		best = max(best, fastest(readings, l.Direction == workload.Upload))
		if math.Abs(best-1) <= CalibrationLimit {
			break
		}
	}
	return best, nil
}

// fastest is the highest part of its rate that a direction carried over at least calibrationWindow; 0 if it was not followed for so long.
func fastest(readings []Reading, toNode bool) float64 {
	best := 0.0
	for i, from := range readings {
		for _, to := range readings[i:] {
			if took := to.At.Sub(from.At); took >= calibrationWindow {
				moved := Between(readings, from.At, to.At)
				if toNode {
					moved[0].FromNode = shape.Stats{}
				} else {
					moved[0].ToNode = shape.Stats{}
				}
				best = max(best, Use(moved, took))
				break
			}
		}
	}
	return best
}
