// Package prober finds out what a network does to the packets of Direct Server Return: it has agents (labs/workload/probe) on the nodes
// and on a client send them, and gathers what the others see as assess.Observations.
package prober

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/workload/probe"
)

// Station sends probes from a machine, and answers questions about it. *probe.Agent is one; others are the far end of probe.Serve.
type Station interface {
	Send(ctx context.Context, probes ...probe.Probe) error
	Guard(ctx context.Context, ports ...uint16) error
	Facts(ctx context.Context) (*probe.Facts, error)
	Close() error
}

// Machine is a node or the client.
type Machine struct {
	Name string
	// Addresses are the machine's own, at most one of each IP version, with the length of its network.
	Addresses []netip.Prefix
	// LinkRate is the speed of a node's outside device in bit/s; 0 is not known.
	LinkRate float64
	// Open opens the machine's station. It calls onSighting with each probe that is seen there; calls of several machines may overlap.
	Open func(ctx context.Context, onSighting func(probe.Sighting)) (Station, error)
}

// address is the machine's own of an IP version; not valid if it has none.
func (m *Machine) address(six bool) netip.Addr {
	for _, p := range m.Addresses {
		if p.Addr().Is6() == six {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// Site is what Observe looks at.
type Site struct {
	// Of names it, as people call it.
	Of     string
	Client Machine
	Nodes  []Machine
	// VIPs are addresses of no node that lead to nodes. The first of each IP version counts; of the others those that lead to other nodes,
	// for the way back. Without one there is neither a probe of replies to a VIP, nor of the way back.
	VIPs []netip.Addr
	// Frontends are what the client calls to find out the way in.
	Frontends []assess.Frontend
	// Services are what the report is about; they are not probed.
	Services []assess.Service
}

func (s *Site) vip(six bool) netip.Addr {
	for _, vip := range s.VIPs {
		if vip.Is6() == six {
			return vip
		}
	}
	return netip.Addr{}
}

// Options say how thoroughly Observe looks.
type Options struct {
	// Copies is how many of each probe are sent (default 4).
	Copies int
	// Idle is how long connections rest before they carry data again (default 60 s), or NoIdle.
	Idle time.Duration
	// Patience is how long a packet that should arrive may take (default 2 s).
	Patience time.Duration
	// OnStep is called with each part of the work.
	OnStep func(step string)
}

// NoIdle lets connections not rest: then nothing is found out about pauses.
const NoIdle = time.Duration(-1)

const defaultCopies, defaultIdle, defaultPatience = 4, time.Minute, 2 * time.Second

func (o *Options) setDefaults() {
	if o.Copies <= 0 {
		o.Copies = defaultCopies
	}
	if o.Idle == 0 {
		o.Idle = defaultIdle
	}
	if o.Patience <= 0 {
		o.Patience = defaultPatience
	}
	if o.OnStep == nil {
		o.OnStep = func(string) {}
	}
}

// Addresses of documentation (RFC 5737, RFC 3849): no network has a host there, nor a route to it.
const unrelated4, unrelated6 = "203.0.113.77", "2001:db8:ffff::77"

func unrelated(six bool) netip.Addr {
	if six {
		return netip.MustParseAddr(unrelated6)
	}
	return netip.MustParseAddr(unrelated4)
}

// observer is an Observe under way.
type observer struct {
	Site
	Options
	journal  *journal
	stations map[string]Station
	out      *assess.Observations
	before   map[string]*probe.Facts
	counted  bool          // the nodes' counters were taken
	silent   map[link]bool // from and to machines between which no marker arrives
	spoofIDs [][]uint32    // of the probes in out.Spoof, as long as there are no others in it
	fail     context.CancelCauseFunc
}

// Observe opens all stations, probes and closes them. What could not be tried is in the observations' Unread; the error says that
// nothing could be, or that ctx has ended.
func Observe(ctx context.Context, site Site, o Options) (*assess.Observations, error) {
	o.setDefaults()
	ob := &observer{Site: site, Options: o, journal: newJournal(), stations: make(map[string]Station), before: make(map[string]*probe.Facts)}
	ob.silent = make(map[link]bool)
	ob.out = &assess.Observations{Schema: assess.Schema, When: time.Now(), Of: site.Of, Services: site.Services}
	ob.out.Client = assess.Client{Name: site.Client.Name}
	for _, a := range site.Client.Addresses {
		ob.out.Client.Addresses = append(ob.out.Client.Addresses, a.Addr())
	}
	ctx, ob.fail = context.WithCancelCause(ctx)
	defer ob.fail(nil)
	err := ob.open(ctx)
	if err == nil {
		err = ob.run(ctx)
	}
	if err = errors.Join(err, ob.close()); err != nil {
		return nil, fmt.Errorf("probe %s: %w", site.Of, err)
	}
	return ob.out, nil
}

func (ob *observer) machines() []*Machine {
	all := []*Machine{&ob.Client}
	for i := range ob.Nodes {
		all = append(all, &ob.Nodes[i])
	}
	return all
}

func (ob *observer) open(ctx context.Context) error {
	for _, m := range ob.machines() {
		name := m.Name
		station, err := m.Open(ctx, func(s probe.Sighting) { ob.journal.add(name, s) })
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		ob.stations[name] = station
		ports := []uint16{probe.ControlPort}
		for i := range uint16(vipPorts) {
			ports = append(ports, probe.FirstPort+i)
		}
		if m == &ob.Client {
			for i := range uint16(guarded) {
				ports = append(ports, firstGuarded+i)
			}
		}
		if err := station.Guard(ctx, ports...); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// close closes all stations at the same time. One that had ended before is an error.
func (ob *observer) close() error {
	type closed struct {
		name string
		err  error
	}
	all := make(chan closed)
	for name, station := range ob.stations {
		go func() { all <- closed{name, station.Close()} }()
	}
	var errs []error
	for range ob.stations {
		switch c := <-all; {
		case errors.Is(c.err, probe.ErrNotEnded): // it is late, but nothing that it saw is missing
			ob.unread(c.name, "the end of what probes there", c.err)
		case c.err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", c.name, c.err))
		}
	}
	return errors.Join(errs...)
}

func (ob *observer) run(ctx context.Context) error {
	for _, step := range []struct {
		name string
		do   func(context.Context, bool) error
		each bool // IP version
	}{
		{"read facts of the nodes", ob.readFacts, false},
		{"send between nodes", ob.probePairs, true},
		{"send from nodes to the client", ob.probeReplies, true},
		{"call frontends", ob.probeWayIn, false},
		{"open connections whose replies go straight to the client", ob.probeWayBack, true},
		{"read counters of the nodes", ob.readCounters, false},
	} {
		ob.OnStep(step.name)
		for _, six := range []bool{false, true} {
			if six && !step.each {
				continue
			}
			if err := step.do(ctx, six); err != nil {
				return fmt.Errorf("%s: %w", step.name, err)
			}
			if err := context.Cause(ctx); err != nil {
				return fmt.Errorf("%s: %w", step.name, err)
			}
		}
	}
	return nil
}

// unread notes what could not be found out, once.
func (ob *observer) unread(node, what string, why error) {
	u := assess.Unread{Node: node, What: what, Why: why.Error()}
	if !slices.Contains(ob.out.Unread, u) {
		ob.out.Unread = append(ob.out.Unread, u)
	}
}

func (ob *observer) readFacts(ctx context.Context, _ bool) error {
	for i := range ob.Nodes {
		m := &ob.Nodes[i]
		node := assess.Node{Name: m.Name, Addresses: m.Addresses, LinkRate: m.LinkRate}
		facts, err := ob.stations[m.Name].Facts(ctx)
		if err != nil {
			ob.unread(m.Name, "facts of the node's network", err)
			ob.out.Nodes = append(ob.out.Nodes, node)
			continue
		}
		ob.before[m.Name] = facts
		for what, why := range facts.Unread {
			if device, is := strings.CutPrefix(what, probe.UnreadDriverXDP); is && device != facts.Outside {
				continue // pods' devices are many, and of no interest
			}
			ob.unread(m.Name, what, errors.New(why))
		}
		node.Kernel, node.BTF, node.DropsInvalid, node.Device = facts.Kernel, &facts.BTF, facts.DropsInvalid, facts.Outside
		node.ReversePath, node.AcceptLocal = make(map[string]int), make(map[string]bool)
		for _, d := range facts.Devices {
			node.ReversePath[d.Name], node.AcceptLocal[d.Name] = d.ReversePath, d.AcceptLocal
			if d.Name == facts.Outside {
				node.MTU, node.XDP = d.MTU, d.DriverXDP
			}
			if d.Name == facts.Outside && d.XDP {
				return &XDPError{Node: m.Name, Device: d.Name}
			}
		}
		ob.out.Nodes = append(ob.out.Nodes, node)
	}
	return nil
}

// device is the one that the default route leads to; nil without one.
func device(f *probe.Facts) *probe.Device {
	for i := range f.Devices {
		if f.Devices[i].Name == f.Outside {
			return &f.Devices[i]
		}
	}
	return nil
}
