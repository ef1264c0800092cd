package observe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/capture"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/lockfile"
)

// Hop is one packet of a traced request at one hook of one node.
type Hop struct {
	// After is the time since the first hop.
	After time.Duration `json:"afterNs"`
	Flow
	// Hook is the program: from_network, from_network_xdp, from_pod or from_node.
	Hook string `json:"hook"`
	// In and Out are the packet's headers as the program met it and as it left it; Out is empty for a packet that was dropped.
	In  capture.Headers `json:"in"`
	Out capture.Headers `json:"out,omitempty"`
	// InBytes and OutBytes are the whole frame's length.
	InBytes  int `json:"inBytes"`
	OutBytes int `json:"outBytes,omitempty"`

	begins bool // a SYN, or the answer to it
}

// TraceReport is one request, hop by hop.
type TraceReport struct {
	Client   netip.AddrPort `json:"client"`
	Frontend netip.AddrPort `json:"frontend"`
	Protocol string         `json:"protocol"`
	// Outcome is how the request ended, as its client saw it; Seen is whom the server saw.
	Outcome string `json:"outcome"`
	// Answered reports whether a server answered, also one that is no echo server: then Outcome is not ok, and Seen is not known.
	Answered bool           `json:"answered"`
	Seen     netip.AddrPort `json:"seen,omitzero"`
	Hops     []Hop          `json:"hops"`
}

// TraceOptions say what to trace.
type TraceOptions struct {
	Client   string // a node or pod
	Frontend netip.AddrPort
	Protocol workload.Protocol
	// Port is the client's source port, so that nothing else of the client is recorded; 0: the kernel's choice, and all of the
	// client's packets with this protocol are recorded.
	Port uint16
	// Timeout of the request (default 5s).
	Timeout time.Duration
	// Waiting is called when another process traces on this testbed. Default: not to wait; the error is a *lockfile.HeldError then.
	Waiting lockfile.Waiting
}

// settle is how long the last packets of a request may take to pass after its client has its answer.
const settle = 50 * time.Millisecond

// Trace sends one real request from a client and records what every node's programs do with each of its packets, and with
// those of the answer. One at a time does so on a testbed.
func Trace(ctx context.Context, tb *testbed.Testbed, o TraceOptions) (*TraceReport, error) {
	client, err := tb.AddressOf(o.Client, o.Frontend.Addr().Is4())
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	t, err := startTrace(ctx, tb, client, o)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	report, err := workload.Connect(ctx, workload.ConnectOptions{
		Dialer: workload.Dialer{Enter: tb.Enter(o.Client), Source: netip.AddrPortFrom(client, o.Port)}, Protocol: o.Protocol, Target: o.Frontend, Count: 1, Timeout: o.Timeout,
	})
	time.Sleep(settle)
	if err := errors.Join(err, t.stop()); err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	request := report.Connections[0]
	r := &TraceReport{
		Client: request.Local, Frontend: o.Frontend, Protocol: string(o.Protocol), Outcome: string(request.Outcome), Seen: request.Seen,
	}
	if !r.Client.IsValid() {
		r.Client = netip.AddrPortFrom(client, 0)
	}
	r.Hops = t.hops
	r.Answered = request.Outcome == workload.OutcomeOK || request.Handshake > 0 || o.Protocol == workload.UDP && slices.ContainsFunc(r.Hops, Hop.answers)
	slices.SortStableFunc(r.Hops, func(a, b Hop) int { return a.Time.Compare(b.Time) })
	for i := range r.Hops {
		r.Hops[i].After = r.Hops[i].Time.Sub(r.Hops[0].Time)
	}
	return r, nil
}

// tracing is a trace that runs on all nodes.
type tracing struct {
	group   *errgroup.Group
	cancel  context.CancelFunc
	release func() // lets others trace
	paths   map[string]*dataplane.DataPath
	mu      sync.Mutex
	hops    []Hop
}

// startTrace returns when the filter is in force on every node.
func startTrace(ctx context.Context, tb *testbed.Testbed, client netip.Addr, o TraceOptions) (*tracing, error) {
	names, err := dataplane.LoadNames()
	if err != nil {
		return nil, err
	}
	t := &tracing{}
	if t.release, err = tb.Network().AcquireTrace(ctx, o.Waiting); err != nil {
		return nil, err
	}
	if t.paths, err = openDataPaths(tb); err != nil {
		return nil, errors.Join(err, t.close())
	}
	filter := dataplane.TraceFilter{Client: client, Port: o.Port, Protocol: services.TCP}
	if o.Protocol == workload.UDP {
		filter.Protocol = services.UDP
	}
	ctx, t.cancel = context.WithCancel(ctx)
	t.group, ctx = errgroup.WithContext(ctx)
	var ready sync.WaitGroup
	for node, d := range t.paths {
		var once sync.Once
		ready.Add(1)
		filter := filter
		filter.Ready = func() { once.Do(ready.Done) }
		t.group.Go(func() error {
			defer filter.Ready() // when it failed, too
			return d.Trace(ctx, filter, func(h dataplane.Hop) error {
				hop := newHop(tb.Plan(), node, h, names)
				t.mu.Lock()
				defer t.mu.Unlock()
				t.hops = append(t.hops, hop)
				return nil
			})
		})
	}
	ready.Wait()
	return t, nil
}

func (t *tracing) stop() error {
	t.cancel()
	return errors.Join(t.group.Wait(), t.close())
}

func (t *tracing) close() error {
	defer t.release()
	var errs []error
	for _, d := range t.paths {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

// newHop is the hop of a node's record, with the names of the plan.
func newHop(plan *topologies.Plan, node string, h dataplane.Hop, names *dataplane.Names) Hop {
	hop := Hop{Flow: newFlow(plan, node, h.Event, names), Hook: string(h.Point), In: capture.ReadHeaders(h.Before), InBytes: h.LengthBefore}
	hop.begins = h.TCPFlags&dataplane.SYN != 0
	if !dataplane.IsDrop(h.Reason) {
		hop.Out, hop.OutBytes = capture.ReadHeaders(h.After), h.LengthAfter
	}
	return hop
}

// answers reports whether it is where a pod's packet sets out to the client.
func (h Hop) answers() bool { return h.Hook == "from_pod" && len(h.Out) > 0 }

// FirstPackets are the hops of the first packet each way: of TCP those of SYN and SYN-ACK.
func (r *TraceReport) FirstPackets() []Hop {
	if r.Protocol != string(workload.TCP) {
		return r.Hops
	}
	return slices.DeleteFunc(slices.Clone(r.Hops), func(h Hop) bool { return !h.begins })
}
