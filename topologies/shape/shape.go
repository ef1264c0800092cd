// Package shape gives a wire its rate, queue and per-frame overhead in each direction.
//
// The wire is shaped at its end in the fabric, outside the node: towards the node by a token bucket at that end's egress, from
// the node by one on an ifb device that the end's ingress is redirected to. So the shape holds for whatever the node's own
// device does, XDP output too, which passes no queueing discipline of its own.
//
// Nodes may send super-packets (GSO), as they do to a network card: a bucket cuts them into frames before they queue, so that each
// frame has its overhead counted, and is dropped alone.
package shape

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/rtnl"
)

const ethernetHeader = 14 // bytes

// MissingError says that the machine lacks something that a lab needs.
type MissingError struct {
	Feature string // ifb device, tbf qdisc, …
	How     string // to get it
	Err     error
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("this machine lacks %s (%v): %s", e.Feature, e.Err, e.How)
}
func (e *MissingError) Unwrap() error { return e.Err }

// missing tells a feature that isn't there from other errors.
func missing(feature, how string, err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return &MissingError{Feature: feature, How: how, Err: err}
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

// ifb is that device, or nil where the direction is not shaped.
func (w Wire) ifb() (netlink.Link, error) {
	link, err := w.Conn.LinkByName(w.ifbName())
	var none netlink.LinkNotFoundError
	if errors.As(err, &none) {
		return nil, nil
	}
	return link, err
}

// Set shapes both directions; one without a rate is not shaped any longer. It may be called while frames are under way: those
// that wait stay, as far as the new queue has room.
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
	frame := port.Attrs().MTU + ethernetHeader
	if err := w.setToNode(toNode, frame); err != nil {
		return fmt.Errorf("shape %s towards the node: %w", w.name(), err)
	}
	if err := w.setFromNode(fromNode, frame); err != nil {
		return fmt.Errorf("shape %s from the node: %w", w.name(), err)
	}
	return nil
}

func (w Wire) setToNode(s topologies.Shape, frame int) error {
	if s.Rate == 0 {
		return removeBucket(w.Conn, w.Port)
	}
	return setBucket(w.Conn, w.Port, s, frame)
}

func (w Wire) setFromNode(s topologies.Shape, frame int) error {
	ifb, err := w.ifb()
	if err != nil {
		return err
	}
	switch {
	case s.Rate == 0 && ifb == nil:
		return nil
	case s.Rate == 0:
		return errors.Join(w.unredirect(), w.Conn.LinkDel(ifb))
	case ifb != nil:
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
		LinkIndex: w.Port.Attrs().Index, Parent: netlink.HANDLE_MIN_INGRESS, Priority: 1, Protocol: unix.ETH_P_ALL,
	}}
}

// redirect sends all that comes in by the port to the queue of the ifb device.
func (w Wire) redirect(ifb netlink.Link) error {
	err := w.Conn.QdiscAdd(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: w.Port.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}})
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return missing("the clsact qdisc", "modprobe sch_ingress (CONFIG_NET_SCH_INGRESS)", err)
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

// Stats are a direction's counters since it was shaped, or since the port was made where it isn't.
type Stats struct {
	// Shape is what the kernel says: Rate 0 where the direction is not shaped.
	Shape          topologies.Shape
	Bytes, Packets uint64 // sent on; bytes from the Ethernet header on, without overhead
	Drops          uint64 // of the queue
	Overlimits     uint64 // times that the rate was the limit
	Backlog        uint64 // bytes waiting now
}

// Read reads both directions.
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
	if s, shaped, err := readBucket(w.Conn, port); err != nil {
		return Stats{}, Stats{}, fmt.Errorf("read %s: %w", w.name(), err)
	} else if shaped {
		toNode = s
	}
	ifb, err := w.ifb()
	if err != nil || ifb == nil {
		return toNode, fromNode, err
	}
	if s, shaped, err := readBucket(w.Conn, ifb); err != nil {
		return Stats{}, Stats{}, fmt.Errorf("read %s: %w", w.ifbName(), err)
	} else if shaped {
		fromNode = s
	}
	return toNode, fromNode, nil
}
