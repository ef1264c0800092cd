package labs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
	"github.com/dsrlab/dsrlab/topologies/shape"
)

const (
	calibrationTime = 600 * time.Millisecond
	// calibrationWindow is over how long a bucket is asked for its rate: the best part of a transfer counts, as neither TCP's begin nor a
	// moment in which the machine did something else says anything of the link. What the machine carries all the time is another
	// question (ceiling.go).
	calibrationWindow = 300 * time.Millisecond
	// calibrationTries: what the link can do is asked, so it may be asked again.
	calibrationTries = 5
	// calibrationLimit is how far a link may be from its spec before what is measured over it does not count.
	calibrationLimit = 0.05
)

// calibrate measures every shaped link in both directions, between its node and the fabric, before anything stands on it.
// Samples: link_calibration (ratio of what the link carried, with each frame's overhead, to its rate), labelled with link and direction.
func (x *execution) calibrate(ctx context.Context) error {
	for _, n := range x.stand.Plan().Nodes {
		if n.ToNode.Rate == 0 && n.FromNode.Rate == 0 {
			continue
		}
		if err := x.calibrateLink(ctx, n); err != nil {
			return fmt.Errorf("link of %s: %w", n.Name, err)
		}
	}
	return nil
}

func (x *execution) calibrateLink(ctx context.Context, n topologies.Node) error {
	servers, err := workload.Start(ctx, x.stand.Enter(n.Name), slog.New(slog.DiscardHandler),
		workload.ServerSpec{Kind: workload.KindBulk, Listen: netip.AddrPortFrom(n.Address.Addr(), 0)})
	if err != nil {
		return err
	}
	defer servers.Close()
	for _, way := range []struct {
		direction workload.Direction // as the fabric, which is the client, sees it
		label     string
		shape     topologies.Shape
	}{
		{workload.Upload, "to-node", n.ToNode},
		{workload.Download, "from-node", n.FromNode},
	} {
		if way.shape.Rate == 0 {
			continue
		}
		measured, err := x.measureLink(ctx, n.Name, servers.Listening()[0].Address, way.direction)
		if err != nil {
			return err
		}
		if err := x.recordCalibration(n, way.label, measured); err != nil {
			return err
		}
	}
	return nil
}

// measureLink is what a link carries in proportion to its rate: the best of a few tries, the first that is near enough.
func (x *execution) measureLink(ctx context.Context, node string, server netip.AddrPort, d workload.Direction) (float64, error) {
	best := 0.0
	for range calibrationTries {
		carried := x.follow(node)
		_, err := workload.Bulk(ctx, workload.BulkOptions{
			Dialer: workload.Dialer{Enter: x.stand.Enter(netns.Fabric)}, Target: server, Direction: d,
			Duration: calibrationTime, CongestionControl: x.stand.Plan().CongestionControl,
		})
		counts, countErr := carried()
		if err = errors.Join(err, countErr); err != nil {
			return 0, err
		}
		best = max(best, fastest(counts, d == workload.Upload))
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

// tcpCeiling is the goodput, in bit/s, that one TCP flow with timestamps can have over a link: of each frame the payload.
func tcpCeiling(s topologies.Shape, mtu int) float64 {
	const headers, ethernet = 20 + 20 + 12, 14
	return float64(s.Rate) * float64(mtu-headers) / float64(mtu+ethernet+*s.Overhead)
}

func (x *execution) recordCalibration(n topologies.Node, direction string, measured float64) error {
	if math.Abs(measured-1) > calibrationLimit && x.uncalibrated == "" {
		x.uncalibrated = fmt.Sprintf("link of %s, %s, carries %.2f of its spec", n.Name, direction, measured)
	}
	return x.recorder.AddSample(results.Sample{
		Variant: x.lab.Spec.Variants[0].Name, Metric: "link_calibration", Unit: "ratio", Value: measured,
		Labels: map[string]string{"link": n.Name, "direction": direction},
	})
}
