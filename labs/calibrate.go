package labs

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

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
	"github.com/dsrlab/dsrlab/topologies/shape"
)

const (
	calibrationTime = 400 * time.Millisecond
	// calibrationWindow is over how long a bucket is asked for its rate: the best part of a transfer counts, as neither TCP's begin nor a
	// moment in which the machine did something else says anything of the link. What the machine carries all the time is another
	// question (capacity.go, ceiling.go).
	calibrationWindow = 200 * time.Millisecond
	// calibrationTries bounds the attempts: the question is what the link can do, so the best attempt counts.
	calibrationTries = 3
	// calibrationLimit is how far a link may be from its rate before what is measured over it does not count. A bucket's timer that is late
	// by more than its burst loses 5 %, and Ethernet's header and overhead are counted exactly.
	calibrationLimit = 0.05
)

// way is one direction of a link.
type way struct {
	node      topologies.Node
	direction workload.Direction // as the fabric, which is the client, sees it
	shape     topologies.Shape
}

func (w way) String() string {
	if w.direction == workload.Upload {
		return "to-node"
	}
	return "from-node"
}

// calibrate measures every link that is shaped in both directions, between its node and the fabric, before a data path is on it. A
// policer is left out: it delays nothing, so no timer can be late.
// Samples: link_calibration (ratio of what the link carried, with each frame's overhead, to its rate), labelled with link and direction.
func (x *execution) calibrate(ctx context.Context) error {
	x.uncalibrated = make(map[string]string)
	return x.calibrateBatches(ctx, x.batches())
}

// recalibrate measures the links again that were off their rate when they were measured last: a machine that was busy then may not be now.
// One that is still off keeps its reason.
func (x *execution) recalibrate(ctx context.Context) error {
	off := x.uncalibrated
	if len(off) == 0 {
		return nil
	}
	x.uncalibrated = make(map[string]string)
	if err := x.calibrateBatches(ctx, only(off, x.batches())); err != nil {
		x.uncalibrated = off // what stands from the trial before may be in the way
	}
	return ctx.Err()
}

// only leaves of each batch the links of nodes that have an entry.
func only(nodes map[string]string, batches [][]way) [][]way {
	var all [][]way
	for _, batch := range batches {
		kept := slices.DeleteFunc(batch, func(w way) bool { return nodes[w.node.Name] == "" })
		if len(kept) > 0 {
			all = append(all, kept)
		}
	}
	return all
}

func (x *execution) calibrateBatches(ctx context.Context, batches [][]way) error {
	for _, batch := range batches {
		measured := make([]float64, len(batch))
		group, ctx := errgroup.WithContext(ctx)
		for i, w := range batch {
			group.Go(func() (err error) {
				if measured[i], err = x.measureLink(ctx, w); err != nil {
					return fmt.Errorf("link of %s: %w", w.node.Name, err)
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		for i, w := range batch {
			if err := x.recordCalibration(w, measured[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// batches are the directions to calibrate, those together that the machine carries at once.
func (x *execution) batches() [][]way {
	var all [][]way
	var sum, most topologies.Rate
	for _, n := range x.plan.Nodes {
		most = max(most, n.ToNode.Rate, n.FromNode.Rate)
	}
	for _, d := range []workload.Direction{workload.Upload, workload.Download} {
		sum = most // begins a batch
		for _, n := range x.plan.Nodes {
			w := way{n, d, n.FromNode}
			if d == workload.Upload {
				w.shape = n.ToNode
			}
			if w.shape.Rate == 0 || w.shape.Limit == topologies.LimitPolice {
				continue
			}
			if sum += w.shape.Rate; sum > most {
				all, sum = append(all, nil), w.shape.Rate
			}
			all[len(all)-1] = append(all[len(all)-1], w)
		}
	}
	return all
}

// measureLink is what a direction of a link carries in proportion to its rate: the best of a few tries, the first that is near enough.
func (x *execution) measureLink(ctx context.Context, w way) (float64, error) {
	servers, err := workload.Start(ctx, x.testbed.Enter(w.node.Name), slog.New(slog.DiscardHandler),
		workload.ServerSpec{Kind: workload.KindBulk, Listen: netip.AddrPortFrom(w.node.Address.Addr(), 0)})
	if err != nil {
		return 0, err
	}
	defer servers.Close()
	best := 0.0
	for range calibrationTries {
		carried := x.follow(w.node.Name)
		_, err := workload.Bulk(ctx, workload.BulkOptions{
			Dialer: workload.Dialer{Enter: x.testbed.Enter(netns.Fabric)}, Target: servers.Listening()[0].Address, Direction: w.direction,
			Duration: calibrationTime, CongestionControl: x.plan.CongestionControl,
		})
		counts, countErr := carried()
		if err = errors.Join(err, countErr); err != nil {
			return 0, err
		}
		best = max(best, fastest(counts, w.direction == workload.Upload))
		if math.Abs(best-1) <= calibrationLimit {
			break
		}
	}
	return best, nil
}

// fastest is the highest part of its rate that a direction carried over at least calibrationWindow; 0 if it was not followed for so long.
func fastest(counts []counted, toNode bool) float64 {
	best := 0.0
	for i, from := range counts {
		for _, to := range counts[i:] {
			if took := to.at.Sub(from.at); took >= calibrationWindow {
				moved := between(counts, from.at, to.at)
				if toNode {
					moved.ports[0].fromNode = shape.Stats{}
				} else {
					moved.ports[0].toNode = shape.Stats{}
				}
				best = max(best, moved.use(took))
				break
			}
		}
	}
	return best
}

// tcpCeiling returns the goodput, in bit/s, that one TCP flow with timestamps can have over a link: of each frame the payload.
func tcpCeiling(s topologies.Shape, mtu int) float64 {
	const headers, ethernet = 20 + 20 + 12, 14
	return float64(s.Rate) * float64(mtu-headers) / float64(mtu+ethernet+*s.Overhead)
}

func (x *execution) recordCalibration(w way, measured float64) error {
	if math.Abs(measured-1) > calibrationLimit && x.uncalibrated[w.node.Name] == "" {
		x.uncalibrated[w.node.Name] = fmt.Sprintf("the link of %s, %s, carries %.2f of its rate", w.node.Name, w, measured)
	}
	return x.recorder.AddSample(results.Sample{
		Variant: x.lab.Spec.Variants[0].Name, Metric: "link_calibration", Unit: "ratio", Value: measured,
		Labels: map[string]string{"link": w.node.Name, "direction": w.String()},
	})
}

// linksOff returns why a trial between a client and pods does not count, because of a link that it uses; empty if it counts.
func (t *trial) linksOff(client string, pods []netip.Addr) string {
	used := append(t.lbNames(), client)
	for _, p := range t.plan.Pods {
		if slices.ContainsFunc(p.Addresses(), func(a netip.Addr) bool { return slices.Contains(pods, a) }) {
			used = append(used, p.Node)
		}
	}
	for _, name := range used {
		if why := t.uncalibrated[name]; why != "" {
			return why
		}
	}
	return ""
}
