package ui

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/edge"
	"github.com/dsrlab/dsrlab/labs/observe"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/lockfile"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

const (
	// detection is how long the fabric goes on sending to an LB node that has failed.
	detection = time.Second
	// The ports that traces are sent from, one after the other: outside the range that the kernel and workload.Ports take them from.
	firstTracePort, tracePorts = 20000, 10000
)

// Live is a running testbed as the page's Testbed.
type Live struct {
	tb    *testbed.Testbed
	plan  *topologies.Plan // as it was built: changes don't touch it
	names *dataplane.Names
	nodes []topologies.Node // those that are drawn

	// changing is held while a change is made, and tells what the page knows about the data path.
	changing sync.Mutex
	traces   int

	mu    sync.Mutex
	modes map[string]services.Mode // of services, as the entry node's tables had them at the last reading

	download *download
	calls    *calls

	// reading is held while flows are read; observer is nil while nobody views, where our data path does not run, and once closed.
	reading  sync.Mutex
	observer *observe.Observer
	closed   bool

	labs LabOptions
	lab  labRun

	// downloading is held while the download is started or stopped; endMeasuring releases the machine's lock, and is nil while none runs.
	downloading  sync.Mutex
	endMeasuring func()
}

// NewLive returns the page's view of a running testbed. Close ends what the page has started.
func NewLive(tb *testbed.Testbed, options LabOptions) (*Live, error) {
	names, err := dataplane.LoadNames()
	if err != nil {
		return nil, err
	}
	plan := *tb.Plan()
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	l := &Live{tb: tb, plan: &plan, names: names, nodes: drawnNodes(&plan), labs: options}
	l.download = &download{dial: tb.Dialer}
	l.calls = &calls{dial: tb.Dialer}
	return l, nil
}

// Close waits for the change that is being made, refuses others from then on, stops the lab and the download, and releases what Read holds.
func (l *Live) Close() {
	l.changing.Lock()
	l.lab.close()
	l.StopDownload()
	l.reading.Lock()
	l.closed = true
	l.reading.Unlock()
	l.EndReading()
}

// Name is the testbed's.
func (l *Live) Name() string { return l.tb.Network().Name() }

// Plan is what was built.
func (l *Live) Plan() *topologies.Plan { return l.plan }

// change makes one change at a time, and none while another command has the testbed.
func (l *Live) change(ctx context.Context, do func() error) error {
	if !l.changing.TryLock() {
		return ErrBusy
	}
	defer l.changing.Unlock()
	lock, err := netns.Acquire(ctx, l.tb.Network().StateDir(), l.tb.Network().Name(), nil)
	if err == nil {
		defer lock.Release()
		err = do()
	}
	if held := (*lockfile.HeldError)(nil); errors.As(err, &held) {
		return fmt.Errorf("%w: %w", ErrBusy, held)
	}
	return err
}

// variant is what runs, as far as it can be told: our own data path, whose services each have a mode by annotation.
func (l *Live) variant() testbed.Variant {
	return testbed.Variant{Name: "ui", DataPath: testbed.DataPathDSRLab, Mode: services.ModeDSR}
}

// ownModes are the services' modes at the last reading. Where there are none the nodes do not run our data path, which is refused.
func (l *Live) ownModes() (map[string]services.Mode, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.modes) == 0 {
		return nil, refuse("the nodes do not run dsrlab's own data path (want a testbed of `dsrlab up --mode dsr` or snat)")
	}
	return maps.Clone(l.modes), nil
}

// SetMode switches a service. Its pods see connections from another address then, so the download is connected anew.
func (l *Live) SetMode(ctx context.Context, service, mode string) error {
	parsed, err := services.ParseMode(mode)
	if err != nil {
		return &RequestError{fmt.Errorf("mode: %w", err)}
	}
	if l.Plan().Service(service) == nil {
		return refuse("service: unknown service %q", service)
	}
	return l.change(ctx, func() error {
		modes, err := l.ownModes()
		if err != nil {
			return err
		}
		modes[service] = parsed
		resume := l.download.pause()
		defer resume()
		return l.tb.SetModes(ctx, l.variant(), modes)
	})
}

// SetLimit limits an LB node's port, at the topology's rate, by a queue or a policer.
func (l *Live) SetLimit(ctx context.Context, node string, limit topologies.Limit) error {
	n := l.Plan().Node(node)
	if n == nil || !slices.Contains(describe("", l.Plan()).Limited, node) {
		return refuse("node: found %q (want an LB node whose port has a rate)", node)
	}
	if limit != topologies.LimitShape && limit != topologies.LimitPolice {
		return refuse("limit: unknown limit %q (want %s or %s)", limit, topologies.LimitShape, topologies.LimitPolice)
	}
	return l.change(ctx, func() error {
		to, from, err := l.tb.Network().PortStats(node)
		if err != nil {
			return err
		}
		mtu := l.Plan().MTUOf(n)
		with := func(now, planned topologies.Shape) topologies.Shape {
			if planned.Limit == limit {
				planned.Rate = now.Rate // a run may have scaled it
				return planned
			}
			return now.WithLimit(limit, mtu)
		}
		return l.tb.Network().Reshape(node, with(to.Shape, n.ToNode), with(from.Shape, n.FromNode))
	})
}

// SetNode makes an LB node fail, or brings it back without any flow.
func (l *Live) SetNode(ctx context.Context, node string, up bool) error {
	if !slices.Contains(describe("", l.Plan()).Mortal, node) {
		return refuse("node: found %q (want one of several LB nodes, on namespaces)", node)
	}
	return l.change(ctx, func() error {
		modes, err := l.ownModes()
		if err != nil {
			return err
		}
		if up {
			return l.restart(ctx, node, modes)
		}
		others := 0
		for _, n := range l.tb.LBNodes() {
			isUp, err := edge.IsUp(l.tb, n.Name)
			if err != nil {
				return err
			}
			if isUp && n.Name != node {
				others++
			}
		}
		if others == 0 {
			return refuse("node: %s is the last LB node that is up", node)
		}
		return edge.FailNode(ctx, l.tb, node, detection)
	})
}

// restart brings an LB node back as the others are: with their services' modes, and their hook.
func (l *Live) restart(ctx context.Context, node string, modes map[string]services.Mode) error {
	v := l.variant()
	for _, n := range l.tb.LBNodes() {
		if n.Name == node {
			continue
		}
		d, err := l.tb.OpenDataPath(n.Name)
		if err != nil {
			return err
		}
		hook, err := d.Hook()
		if err = errors.Join(err, d.Close()); err != nil {
			return err
		}
		v.Hook = hook
		break
	}
	l.tb.NoteModes(modes)
	return edge.RestartNode(ctx, l.tb, node, v)
}

// StartDownload begins a transfer that goes on until it is stopped. It has the machine for itself, as what measures has.
func (l *Live) StartDownload(ctx context.Context, client, service string) error {
	if !slices.Contains(describe("", l.Plan()).Clients, client) {
		return refuse("client: unknown client %q", client)
	}
	target, err := l.target(service, topologies.WorkloadBulk)
	if err != nil {
		return err
	}
	return l.change(ctx, func() (err error) {
		l.downloading.Lock()
		defer l.downloading.Unlock()
		if l.endMeasuring == nil {
			if l.endMeasuring, err = netns.AcquireMachine(ctx, nil); err != nil {
				return err
			}
		}
		l.download.start(client, service, target)
		return nil
	})
}

// StopDownload returns when the transfer has ended.
func (l *Live) StopDownload() {
	l.downloading.Lock()
	defer l.downloading.Unlock()
	l.download.stop()
	if l.endMeasuring != nil {
		l.endMeasuring()
		l.endMeasuring = nil
	}
}

// Trace traces one request.
func (l *Live) Trace(ctx context.Context, client, service string) (report *observe.TraceReport, err error) {
	if !slices.Contains(describe("", l.Plan()).Clients, client) {
		return nil, refuse("client: unknown client %q", client)
	}
	target, err := l.target(service, topologies.WorkloadEcho)
	if err != nil {
		return nil, err
	}
	err = l.change(ctx, func() error {
		port := firstTracePort + l.traces%tracePorts
		l.traces++
		report, err = observe.Trace(ctx, l.tb, observe.TraceOptions{Client: client, Frontend: target, Protocol: workload.TCP, Port: uint16(port)})
		if errors.Is(err, dataplane.ErrNotLoaded) {
			return refuse("trace: the nodes do not run dsrlab's own data path")
		}
		return err
	})
	return report, err
}
