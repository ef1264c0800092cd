// Package shape gives a wire its rate, limit, queue and per-frame overhead in each direction.
//
// The wire is limited at its end in the fabric, outside the node. A direction that is shaped has a token bucket with a queue: towards
// the node at that end's egress, from the node on an ifb device that the end's ingress is redirected to. One that is policed
// has a BPF program at that end's egress or ingress (clsact). So the limit holds for whatever the node's own device does, XDP output
// too, which passes no queueing discipline of its own.
//
// Nodes may send super-packets (GSO), as they do to a network card: a shaper's bucket cuts them into frames before they queue, so that
// each frame has its overhead counted, and is dropped alone. A policer can't cut: to it frames must come one by one, of which
// package netns takes care. A super-packet that comes all the same costs as much as all its frames, and passes or is dropped whole.
package shape

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/internal/capability"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/rtnl"
)

const ethernetHeader = 14 // bytes

// redirectPriority is the preference of the filter that redirects to the ifb device: the first of all.
const redirectPriority = 1

// MissingError means that the machine lacks something that a lab needs.
type MissingError struct {
	Feature string // ifb device, tbf qdisc, …
	How     string // to get it
	Err     error
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("this machine lacks %s (%v): %s", e.Feature, e.Err, e.How)
}
func (e *MissingError) Unwrap() error { return e.Err }

// missing reports whether an error means that a feature isn't there.
func missing(feature, how string, err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || capability.Refused(err) {
		return &MissingError{Feature: feature, How: capability.How(err, how), Err: err}
	}
	return fmt.Errorf("%s: %w", feature, err)
}

// Wire is one wire of a fabric, by its end there.
type Wire struct {
	Conn  *rtnl.Conn   // into the fabric; nil: methods are called from inside it
	Port  netlink.Link // its name begins with p
	Alias string       // ownership, carried by the ifb device
	Group uint32       // link group of the ifb device
}

// connected is the wire with a way into the fabric, which release gives back.
func (w Wire) connected() (wire Wire, release func(), err error) {
	if w.Conn != nil {
		return w, func() {}, nil
	}
	w.Conn, err = rtnl.Dial()
	if err != nil {
		return Wire{}, nil, err
	}
	return w, w.Conn.Close, nil
}

func (w Wire) name() string { return w.Port.Attrs().Name }

// ifbName is the device that the frames from the node queue in.
func (w Wire) ifbName() string { return "i" + w.name()[1:] }

// ifb is that device, or nil where that direction is not shaped.
func (w Wire) ifb() (netlink.Link, error) {
	link, err := w.Conn.LinkByName(w.ifbName())
	var none netlink.LinkNotFoundError
	if errors.As(err, &none) {
		return nil, nil
	}
	return link, err
}

// Set limits both directions; one without a rate is not limited any longer, and one without a limit is shaped. It may be called while
// frames are under way, of which none passes without a limit when there is one before and after.
//
// A shaper that stays one keeps its counters and what waits in it, as far as the new queue has room. A policer that stays one keeps
// its counters and its credit, as far as the new burst has room. A direction whose limit changes begins anew: with empty counters and
// a full bucket; what waits in the queue is dropped.
func (w Wire) Set(toNode, fromNode topologies.Shape) error {
	w, release, err := w.connected()
	if err != nil {
		return err
	}
	defer release()
	port, err := w.Conn.LinkByName(w.name())
	if err != nil {
		return fmt.Errorf("port %s: %w", w.name(), err)
	}
	for _, s := range []topologies.Shape{toNode, fromNode} {
		if s.Limit != "" && s.Limit != topologies.LimitShape && s.Limit != topologies.LimitPolice {
			return fmt.Errorf("limit %s: unknown limit %q (want %s or %s)", w.name(), s.Limit, topologies.LimitShape, topologies.LimitPolice)
		}
	}
	w.Port = port
	frame := port.Attrs().MTU + ethernetHeader
	if err := w.setToNode(toNode, frame); err != nil {
		return fmt.Errorf("limit %s towards the node: %w", w.name(), err)
	}
	if err := w.setFromNode(fromNode, frame); err != nil {
		return fmt.Errorf("limit %s from the node: %w", w.name(), err)
	}
	return nil
}

func (w Wire) setToNode(s topologies.Shape, frame int) error {
	switch {
	case s.Rate == 0:
		return errors.Join(removeBucket(w.Conn, w.Port), removePolicer(w.Conn, w.Port, netlink.HANDLE_MIN_EGRESS))
	case s.Limit == topologies.LimitPolice:
		if err := setPolicer(w.Conn, w.Port, netlink.HANDLE_MIN_EGRESS, s); err != nil {
			return err
		}
		return removeBucket(w.Conn, w.Port)
	}
	if err := setBucket(w.Conn, w.Port, s, frame); err != nil {
		return err
	}
	return removePolicer(w.Conn, w.Port, netlink.HANDLE_MIN_EGRESS)
}

func (w Wire) setFromNode(s topologies.Shape, frame int) error {
	switch {
	case s.Rate == 0:
		return errors.Join(w.removeIfb(), removePolicer(w.Conn, w.Port, netlink.HANDLE_MIN_INGRESS))
	case s.Limit == topologies.LimitPolice:
		if err := setPolicer(w.Conn, w.Port, netlink.HANDLE_MIN_INGRESS, s); err != nil {
			return err
		}
		return w.removeIfb()
	}
	if err := w.setIfb(s, frame); err != nil {
		return err
	}
	return removePolicer(w.Conn, w.Port, netlink.HANDLE_MIN_INGRESS)
}

// setIfb shapes what comes from the node.
func (w Wire) setIfb(s topologies.Shape, frame int) error {
	ifb, err := w.ifb()
	if err != nil {
		return err
	}
	if ifb != nil {
		return setBucket(w.Conn, ifb, s, frame)
	}
	if ifb, err = w.makeIfb(); err != nil {
		return err
	}
	if err := setBucket(w.Conn, ifb, s, frame); err != nil {
		return err
	}
	return w.redirect(ifb) // last: nothing passes by the bucket, or waits for one
}

// removeIfb ends that, if it was shaped.
func (w Wire) removeIfb() error {
	ifb, err := w.ifb()
	if err != nil || ifb == nil {
		return err
	}
	return errors.Join(w.unredirect(), w.Conn.LinkDel(ifb))
}

func (w Wire) makeIfb() (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Group = w.ifbName(), w.Group
	ifb := &netlink.Ifb{LinkAttrs: attrs}
	if err := w.Conn.LinkAdd(ifb); err != nil {
		return nil, missing("ifb devices", "modprobe ifb (CONFIG_IFB)", err)
	}
	return ifb, w.Conn.Raise(ifb, w.Alias)
}

// filter takes every frame that comes in by the port; matchall would say it shorter, but not every kernel has it.
func (w Wire) filter() *netlink.U32 {
	return &netlink.U32{FilterAttrs: netlink.FilterAttrs{
		LinkIndex: w.Port.Attrs().Index, Parent: netlink.HANDLE_MIN_INGRESS, Priority: redirectPriority, Protocol: unix.ETH_P_ALL,
	}}
}

// addClsact gives a port the place that filters are at, unless it has it.
func addClsact(c *rtnl.Conn, port netlink.Link) error {
	err := c.QdiscAdd(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: port.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}})
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return missing("the clsact qdisc", "modprobe sch_ingress (CONFIG_NET_SCH_INGRESS)", err)
	}
	return nil
}

// redirect sends all that comes in by the port to the queue of the ifb device.
func (w Wire) redirect(ifb netlink.Link) error {
	if err := addClsact(w.Conn, w.Port); err != nil {
		return err
	}
	filter := w.filter()
	filter.Actions = []netlink.Action{netlink.NewMirredAction(ifb.Attrs().Index)}
	if err := w.Conn.FilterAdd(filter); err != nil {
		return missing("the u32 classifier or the mirred action", "modprobe cls_u32 act_mirred", err)
	}
	return nil
}

// unredirect removes the filter; others may have put theirs beside it.
func (w Wire) unredirect() error { return w.Conn.FilterDel(w.filter()) }

// Stats are a direction's counters since it was limited as it is, or since the port was made where it isn't limited.
type Stats struct {
	// Shape is what the kernel says: Rate 0 where the direction is not limited.
	Shape          topologies.Shape
	Bytes, Packets uint64 // sent on; bytes from the Ethernet header on, without overhead
	Drops          uint64 // of the queue, or by the policer
	DroppedBytes   uint64 // counted as Bytes; by a policer: of a queue's drops the kernel counts no bytes
	Overlimits     uint64 // times that the rate was the limit: of a policer its drops
	Backlog        uint64 // bytes waiting now
}

// Read reads both directions, whoever has limited them.
func (w Wire) Read() (toNode, fromNode Stats, err error) {
	w, release, err := w.connected()
	if err != nil {
		return Stats{}, Stats{}, err
	}
	defer release()
	port, err := w.Conn.LinkByIndex(w.Port.Attrs().Index)
	if err != nil {
		return Stats{}, Stats{}, fmt.Errorf("read %s: %w", w.name(), err)
	}
	counters := port.Attrs().Statistics
	toNode = Stats{Bytes: counters.TxBytes, Packets: counters.TxPackets, Drops: counters.TxDropped}
	fromNode = Stats{Bytes: counters.RxBytes, Packets: counters.RxPackets, Drops: counters.RxDropped}
	if toNode, err = w.readDirection(toNode, port, netlink.HANDLE_MIN_EGRESS); err != nil {
		return Stats{}, Stats{}, fmt.Errorf("read %s: %w", w.name(), err)
	}
	ifb, err := w.ifb()
	if err == nil {
		fromNode, err = w.readDirection(fromNode, ifb, netlink.HANDLE_MIN_INGRESS)
	}
	if err != nil {
		return Stats{}, Stats{}, fmt.Errorf("read %s: %w", w.ifbName(), err)
	}
	return toNode, fromNode, nil
}

// readDirection reads the bucket of a device, which may be nil, or else the port's policer; unlimited is the answer where there is neither.
func (w Wire) readDirection(unlimited Stats, queue netlink.Link, parent uint32) (Stats, error) {
	if queue != nil {
		if s, shaped, err := readBucket(w.Conn, queue); err != nil || shaped {
			return s, err
		}
	}
	if s, policed, err := readPolicer(w.Conn, w.Port, parent); err != nil || policed {
		return s, err
	}
	return unlimited, nil
}
