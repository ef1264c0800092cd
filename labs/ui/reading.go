package ui

import (
	"context"
	"errors"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/edge"
	"github.com/dsrlab/dsrlab/labs/observe"
	"github.com/dsrlab/dsrlab/topologies"
)

// Read reads the counters of all nodes that are drawn, and the services' modes. While a download runs, it also has each reading make one
// call, to learn whom the pods see, and replaces a connection that has come to a standstill.
func (l *Live) Read(ctx context.Context) (Reading, error) {
	r := Reading{Nodes: make(map[string]NodeReading)}
	for i := range l.nodes {
		n, err := l.readNode(&l.nodes[i])
		if err != nil {
			return Reading{}, err
		}
		r.Nodes[l.nodes[i].Name] = n
	}
	r.At = time.Now()
	list, counters, err := l.readTables()
	if err != nil {
		return Reading{}, err
	}
	r.Tables = tablesOf(l.tb.EntryNode(), list, counters, l.plan)
	l.mu.Lock()
	l.modes = modesOf(list)
	l.mu.Unlock()
	if r.Flows, r.Left, err = l.readFlows(r.Nodes); err != nil {
		return Reading{}, err
	}
	_, r.Story = l.lab.now()
	if d := l.download.state(); d.Running {
		l.download.watch(r.Nodes[d.Client].ToNode.Bytes)
		if target, err := l.target(d.Service, topologies.WorkloadEcho); err == nil {
			l.calls.begin(ctx, d.Client, target)
		}
	}
	return r, nil
}

func (l *Live) readNode(n *topologies.Node) (r NodeReading, err error) {
	if r.ToNode, r.FromNode, err = l.tb.Network().PortStats(n.Name); err != nil {
		return r, err
	}
	if r.Up, err = edge.IsUp(l.tb, n.Name); err != nil || n.Role.OutsideCluster() {
		return r, err
	}
	d, err := l.tb.OpenDataPath(n.Name)
	if errors.Is(err, dataplane.ErrNotLoaded) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	defer d.Close()
	counters, err := d.Counters(l.names)
	if err != nil {
		return r, err
	}
	r.Reasons = make(map[string]dataplane.Traffic, len(counters))
	for _, c := range counters {
		r.Reasons[l.names.Reason(c.Reason)] = dataplane.Traffic{Packets: c.Packets, Bytes: c.Bytes}
	}
	return r, nil
}

// readTables reads the tables of the first LB node, and what each service's port has counted there; none where our data path does not run.
func (l *Live) readTables() ([]dataplane.Listed, []dataplane.ServiceCounter, error) {
	d, err := l.tb.OpenDataPath(l.tb.EntryNode())
	if errors.Is(err, dataplane.ErrNotLoaded) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer d.Close()
	list, err := d.List()
	if err != nil {
		return nil, nil, err
	}
	counters, err := d.ServiceCounters()
	return list, counters, err
}

// modesOf are the services' modes.
func modesOf(list []dataplane.Listed) map[string]services.Mode {
	modes := make(map[string]services.Mode)
	for _, f := range list {
		if f.Kind != string(services.KindLoadBalancer) {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(f.Service, corev1.NamespaceDefault+"/"), ":")
		name, _, _ = strings.Cut(name, "/")
		mode := services.Mode(f.Mode)
		if other, ok := modes[name]; ok && other != mode {
			mode = services.ModeHybrid
		}
		modes[name] = mode
	}
	return modes
}

// readFlows reads the newest flows since the last reading: at the first, of those that the nodes have kept.
func (l *Live) readFlows(nodes map[string]NodeReading) (flows []observe.Flow, left uint64, err error) {
	l.reading.Lock()
	defer l.reading.Unlock()
	own := false
	for _, n := range nodes {
		own = own || n.Reasons != nil
	}
	switch {
	case l.observer != nil:
		err = l.observer.Reopen()
	case own && !l.closed:
		if l.observer, err = observe.NewObserver(l.tb); errors.Is(err, dataplane.ErrNotLoaded) {
			err = nil // it is being replaced
		}
	}
	if err != nil || l.observer == nil {
		return nil, 0, err
	}
	return l.observer.Latest(keptFlows)
}

// EndReading releases what Read holds from one reading to the next.
func (l *Live) EndReading() {
	l.reading.Lock()
	defer l.reading.Unlock()
	if l.observer != nil {
		_ = l.observer.Close() // it has only read
		l.observer = nil
	}
}

// State is what the page shows.
func (l *Live) State(before, now Reading) State {
	nodes := ratesBetween(l.nodes, before, now)
	s := State{At: now.At, Nodes: nodes, Services: []Service{}, Ways: waysBetween(nodes, before, now), Download: l.download.state(), Callers: l.callers()}
	s.Lab, _ = l.lab.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	s.OwnDataPath = len(l.modes) > 0
	for i := range l.Plan().Services {
		service := &l.Plan().Services[i]
		shown := Service{Name: service.Name, Mode: string(l.modes[service.Name])}
		shown.Frontends = frontendsOf(l.Plan(), service)
		s.Services = append(s.Services, shown)
	}
	return s
}

// callers names the sources of the last minute's calls.
func (l *Live) callers() []Caller {
	all := l.calls.seen(time.Now().Add(-time.Minute))
	for i := range all {
		if n := l.Plan().NodeAt(all[i].Address); n != nil {
			all[i].Name, all[i].IsNode = n.Name, !n.Role.OutsideCluster()
		}
	}
	return all
}
