package labs

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

const (
	calibrationTime = 400 * time.Millisecond
	// calibrationTries: what the link can do is asked, so a moment in which the machine did something else may be repeated.
	calibrationTries = 5
	// calibrationLimit is how far a link may be from its spec before what is measured over it does not count.
	calibrationLimit = 0.05
)

// calibrate measures every shaped link in both directions, between its node and the fabric, before anything stands on it.
// Samples: link_calibration (ratio of goodput to what the spec leaves TCP), labelled with link and direction.
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
		measured, err := x.measureLink(ctx, servers.Listening()[0].Address, way.direction, way.shape)
		if err != nil {
			return err
		}
		if err := x.recordCalibration(n, way.label, measured); err != nil {
			return err
		}
	}
	return nil
}

// measureLink is the goodput of a link in proportion to its spec: the best of a few tries, the first that is near enough.
func (x *execution) measureLink(ctx context.Context, server netip.AddrPort, d workload.Direction, shape topologies.Shape) (float64, error) {
	best := 0.0
	for range calibrationTries {
		report, err := workload.Bulk(ctx, workload.BulkOptions{
			Dialer: workload.Dialer{Enter: x.stand.Enter(netns.Fabric)}, Target: server, Direction: d,
			Duration: calibrationTime, CongestionControl: x.stand.Plan().CongestionControl,
		})
		if err != nil {
			return 0, err
		}
		flow := report.Download
		if d == workload.Upload {
			flow = report.Upload
		}
		best = max(best, flow.Goodput/tcpCeiling(shape, x.stand.Plan().MTU))
		if math.Abs(best-1) <= calibrationLimit {
			break
		}
	}
	return best, nil
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
