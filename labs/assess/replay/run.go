package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/measure"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// Name is that of the testbed on which profiles are replayed: of no topology of the catalogue, so that it disturbs none that runs.
const Name = "assess-replay"

const (
	client     = "client"
	portName   = "replay"
	serverPort = 7000
)

// path is one of the data paths that are measured, and what is predicted for it.
type path struct {
	variant testbed.Variant
	load    func(assess.PortLoad) assess.Load
	limit   func(*assess.Prediction) *assess.Limit
}

func paths() []path {
	return []path{
		{
			testbed.Variant{Name: "kube-proxy", DataPath: testbed.DataPathKubeProxy},
			func(l assess.PortLoad) assess.Load { return l.Now }, func(p *assess.Prediction) *assess.Limit { return p.Now },
		},
		{
			testbed.Variant{Name: "snat", DataPath: testbed.DataPathDSRLab, Mode: services.ModeSNAT},
			func(l assess.PortLoad) assess.Load { return l.SNAT }, func(p *assess.Prediction) *assess.Limit { return p.SNAT },
		},
		{
			testbed.Variant{Name: "dsr", DataPath: testbed.DataPathDSRLab, Mode: services.ModeDSR},
			func(l assess.PortLoad) assess.Load { return l.DSR }, func(p *assess.Prediction) *assess.Limit { return p.DSR },
		},
	}
}

// Options say where the testbed is, and for how long it is measured.
type Options struct {
	// Testbed are those of testbed.Up; its name is Name. If its Lock is nil, Run takes it.
	Testbed testbed.Options
	// Fill is for how long ports are filled, after half of it that does not count (default 2 s; negative: they are not). It is longer where
	// replies take long.
	Fill time.Duration
	// OnStep is called with each part of the work.
	OnStep func(string)
}

const defaultFill = 2 * time.Second

// Run builds the shape as a testbed of its own, runs its profile under each data path, and takes it down, whatever happens. One that was
// left by a process that was killed is replaced. The error may be one of taking it down: then there is a replay, too. Run needs root, and the
// machine for itself (netns.AcquireMachine).
func Run(ctx context.Context, s *Shape, o Options) (*assess.Replay, error) {
	plan, err := topologies.PlanOf(s.Topology)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	o.Testbed.Name, o.Testbed.Recreate = Name, true
	if o.OnStep == nil {
		o.OnStep = func(string) {}
	}
	o.OnStep(fmt.Sprintf("build a testbed of %d nodes and %d pods", s.Built.Nodes, s.Built.Pods))
	o.Fill = cmp.Or(o.Fill, defaultFill)
	if o.Testbed.Lock == nil {
		if o.Testbed.Lock, err = netns.Acquire(ctx, cmp.Or(o.Testbed.StateDir, netns.DefaultStateDir), Name, nil); err != nil {
			return nil, fmt.Errorf("replay: %w", err)
		}
		defer o.Testbed.Lock.Release()
	}
	tb, _, err := testbed.Up(ctx, plan, o.Testbed)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	out, err := s.measure(ctx, tb, o)
	return ended(out, err, tb.Down(context.WithoutCancel(ctx)))
}

// ended returns a replay, if it is complete, and what has failed.
func ended(out *assess.Replay, measuring, removing error) (*assess.Replay, error) {
	if err := errors.Join(measuring, removing); err != nil {
		return out, fmt.Errorf("replay: %w", err)
	}
	return out, nil
}

// measure runs the profile under each data path.
func (s *Shape) measure(ctx context.Context, tb *testbed.Testbed, o Options) (*assess.Replay, error) {
	out := s.Built
	for _, p := range s.pods {
		l, err := listen(ctx, tb, p.name)
		if err != nil {
			return nil, err
		}
		defer l.Close()
		go serve(l)
	}
	o.OnStep("count acknowledgements without a load balancer")
	acks, err := s.acknowledged(ctx, tb)
	if err != nil {
		return nil, fmt.Errorf("without a load balancer: %w", err)
	}
	out.Profile.Acknowledgements = &acks
	predicted := s.predict(out.Profile)
	for _, path := range paths() {
		o.OnStep("replay under " + path.variant.Name)
		one, err := s.measurePath(ctx, tb, path, predicted, o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path.variant.Name, err)
		}
		out.Paths = append(out.Paths, *one)
	}
	return &out, nil
}

// listen opens the port of a pod's server.
func listen(ctx context.Context, tb *testbed.Testbed, name string) (l net.Listener, err error) {
	at := netip.AddrPortFrom(tb.Plan().Pod(name).Addresses[0], serverPort)
	err = tb.Network().Do(name, func() error {
		l, err = new(net.ListenConfig).Listen(ctx, "tcp", at.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("serve in pod %s: %w", name, err)
	}
	return l, nil
}

func (s *Shape) measurePath(ctx context.Context, tb *testbed.Testbed, path path, predicted *assess.Prediction, o Options) (*assess.ReplayedPath, error) {
	l, err := s.begin(ctx, tb, path.variant)
	if err != nil {
		return nil, err
	}
	defer l.close()
	out, err := s.count(ctx, tb, l, path, predicted)
	if err != nil {
		return nil, err
	}
	limit := path.limit(predicted)
	if limit == nil || o.Fill < 0 {
		return out, nil
	}
	filling, ok := l.fill(s.fullest(path, predicted), limit.Requests/s.Built.Divisor, o.Fill)
	if !ok {
		return out, nil
	}
	filled, err := l.filled(ctx, filling)
	if err != nil {
		return nil, err
	}
	out.Full = &assess.ReplayedLimit{Node: limit.Node, Predicted: limit.Requests / s.Built.Parts, Measured: filled * s.Built.Divisor / s.Built.Parts}
	return out, nil
}

// begin installs a data path, and opens a connection through it from each entry to each pod.
func (s *Shape) begin(ctx context.Context, tb *testbed.Testbed, v testbed.Variant) (*load, error) {
	if err := tb.Install(ctx, v); err != nil {
		return nil, err
	}
	l := &load{dialer: tb.Dialer(client), request: s.request(), idle: make(map[int][]net.Conn)}
	for _, entry := range s.entries {
		for _, p := range s.pods {
			target, err := tb.Target(testbed.Target{Service: p.name, Port: portName, Via: s.built(entry.node)}, v)
			if err != nil {
				return nil, err
			}
			l.pairs = append(l.pairs, pair{target, entry.share * p.share})
		}
	}
	if err := l.warm(ctx); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// fullest is how many ports are full when the first one is, or nearly so.
func (s *Shape) fullest(path path, predicted *assess.Prediction) int {
	const nearly = 0.9
	var uses []float64
	for _, port := range predicted.Ports {
		load := path.load(port)
		uses = append(uses, max(load.BytesIn, load.BytesOut)/s.linkRate(port.Node))
	}
	n := 0
	for _, use := range uses {
		if use >= nearly*slices.Max(uses) {
			n++
		}
	}
	return n
}

// request is what the profile's requests are.
func (s *Shape) request() request {
	p := s.Observations.Profile
	return request{int(math.Round(p.RequestBytes)), int(math.Round(p.ReplyBytes)), p.ReplyPackets}
}

// built is the topology's name of a node of the cluster.
func (s *Shape) built(name string) string {
	for built, of := range s.node {
		if of == name {
			return built
		}
	}
	return ""
}

// settled is how long receivers may take to acknowledge what they got last (RFC 9293, 3.8.6.3: half a second; Linux: 40 to 200 ms).
const settled = 250 * time.Millisecond

// count sends requests at a rate that fills no port, and counts what crosses the ports.
func (s *Shape) count(ctx context.Context, tb *testbed.Testbed, l *load, path path, predicted *assess.Prediction) (*assess.ReplayedPath, error) {
	var nodes []string
	for _, port := range predicted.Ports {
		nodes = append(nodes, s.built(port.Node))
	}
	n, crossed, err := s.crossed(ctx, tb, l, nodes)
	if err != nil {
		return nil, err
	}
	profile := s.Observations.Profile
	out := &assess.ReplayedPath{Path: path.variant.Name, Requests: n}
	each := profile.Requests / float64(n) // what one request's bytes are in a second of the cluster's
	for i, port := range predicted.Ports {
		out.Ports = append(out.Ports, assess.ReplayedPort{
			Node: port.Node, Entry: profile.Entry[port.Node] > 0, Predicted: path.load(port),
			Measured: assess.Load{
				BytesIn: each * float64(crossed[i].ToNode.Bytes), BytesOut: each * float64(crossed[i].FromNode.Bytes),
				PacketsIn: each * float64(crossed[i].ToNode.Packets), PacketsOut: each * float64(crossed[i].FromNode.Packets),
			},
		})
	}
	return out, nil
}

// crossed sends n requests at a rate that fills no port, and returns what crossed the nodes' ports.
func (s *Shape) crossed(ctx context.Context, tb *testbed.Testbed, l *load, nodes []string) (n int, ports []measure.Port, err error) {
	n = max(int(math.Round(s.pace*counting/float64(len(l.pairs)))), 1) * len(l.pairs)
	time.Sleep(settled)
	before, err := measure.Ports(tb, nodes...)
	if err != nil {
		return 0, nil, err
	}
	if err := l.paced(ctx, n, s.pace); err != nil {
		return 0, nil, err
	}
	time.Sleep(settled)
	ports, err = measure.Ports(tb, nodes...)
	if err != nil {
		return 0, nil, err
	}
	for i := range ports {
		ports[i] = ports[i].Since(before[i])
	}
	return n, ports, nil
}

// acknowledged counts how often receivers acknowledge here. That is a matter of time and of how they merge segments, which no load balancer
// changes; its ports are where it shows: under DSR they carry requests and little else.
func (s *Shape) acknowledged(ctx context.Context, tb *testbed.Testbed) (assess.Acknowledgements, error) {
	l, err := s.begin(ctx, tb, testbed.Variant{Name: "none", DataPath: testbed.DataPathNone})
	if err != nil {
		return assess.Acknowledgements{}, err
	}
	defer l.close()
	n, crossed, err := s.crossed(ctx, tb, l, slices.Collect(maps.Keys(s.node)))
	if err != nil {
		return assess.Acknowledgements{}, err
	}
	var toNodes, fromNodes uint64
	for _, port := range crossed {
		toNodes, fromNodes = toNodes+port.ToNode.Packets, fromNodes+port.FromNode.Packets
	}
	return s.Built.Profile.Acknowledged(n, float64(toNodes), float64(fromNodes)), nil
}
