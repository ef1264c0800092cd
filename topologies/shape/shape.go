// Package shape gives a wire its rate, queue and per-frame overhead in each direction.
//
// The wire is shaped at its end in the fabric, outside the node: towards the node by a token bucket at that end's egress, from
// the node by one on an ifb device that the end's ingress is redirected to. So the shape holds for whatever the node's own
// device does, XDP output too, which passes no queueing discipline of its own.
package shape

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies"
)

// Handle is the major number of all qdiscs that are made here (0xd5a1: "dsrl").
const Handle = 0xd5a1

// MissingError says that the kernel lacks something that a shaped wire needs.
type MissingError struct {
	Feature string // ifb device, tbf qdisc, …
	How     string // to get it
	Err     error
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("the kernel lacks %s (%v): %s", e.Feature, e.Err, e.How)
}
func (e *MissingError) Unwrap() error { return e.Err }

// Wire is one wire of a fabric, by its end there. Its methods must be called in the fabric's network namespace.
type Wire struct {
	Port  netlink.Link
	Alias string // ownership, carried by the ifb device
	Group uint32 // link group of the ifb device
}

// ifbName is the device that the frames from the node queue in.
func (w Wire) ifbName() string { return "i" + w.Port.Attrs().Name[1:] }

// Set shapes both directions. A direction without a rate is left alone. It may be called again to change rate or queue; the
// frames that wait are lost then.
func (w Wire) Set(toNode, fromNode topologies.Shape) error {
	if toNode.Rate > 0 {
		if err := setTokenBucket(w.Port.Attrs().Index, toNode); err != nil {
			return fmt.Errorf("shape %s towards the node: %w", w.Port.Attrs().Name, err)
		}
	}
	if fromNode.Rate == 0 {
		return nil
	}
	ifb, err := w.ifb()
	if err != nil {
		return fmt.Errorf("shape %s from the node: %w", w.Port.Attrs().Name, err)
	}
	if err := setTokenBucket(ifb.Attrs().Index, fromNode); err != nil {
		return fmt.Errorf("shape %s from the node: %w", w.Port.Attrs().Name, err)
	}
	return nil
}

// ifb is the device, made if need be, with the port's ingress redirected to it.
func (w Wire) ifb() (netlink.Link, error) {
	if link, err := netlink.LinkByName(w.ifbName()); err == nil {
		return link, nil
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Group = w.ifbName(), w.Group
	link := &netlink.Ifb{LinkAttrs: attrs}
	if err := netlink.LinkAdd(link); err != nil {
		return nil, missing("ifb devices", "modprobe ifb (CONFIG_IFB)", err)
	}
	if err := errors.Join(netlink.LinkSetAlias(link, w.Alias), netlink.LinkSetUp(link)); err != nil {
		return nil, err
	}
	return link, redirect(w.Port.Attrs().Index, link.Attrs().Index)
}

// redirect sends all that comes in by one device to the queue of another.
func redirect(from, to int) error {
	err := netlink.QdiscAdd(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: from, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}})
	if err != nil {
		return missing("the clsact qdisc", "CONFIG_NET_SCH_INGRESS", err)
	}
	err = netlink.FilterAdd(&netlink.U32{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: from, Parent: netlink.HANDLE_MIN_INGRESS, Priority: 1, Protocol: unix.ETH_P_ALL},
		Actions:     []netlink.Action{netlink.NewMirredAction(to)},
	})
	if err != nil {
		return missing("the u32 classifier or the mirred action", "modprobe cls_u32 act_mirred", err)
	}
	return nil
}

// setTokenBucket makes, or changes, a device's root qdisc. The library's own Tbf knows no overhead, and that must be counted
// by frame: net/sched/sch_tbf.c adds the rate's overhead to each packet that it sends, size tables add it once to a
// super-packet.
func setTokenBucket(ifindex int, s topologies.Shape) error {
	parms := nl.TcTbfQopt{Limit: uint32(s.Queue)}
	parms.Rate.Rate = uint32(min(int64(s.Rate)/8, 1<<32-1))
	parms.Rate.Linklayer = nl.LINKLAYER_ETHERNET
	if s.Overhead != nil {
		parms.Rate.Overhead = uint16(*s.Overhead)
	}
	options := nl.NewRtAttr(nl.TCA_OPTIONS, nil)
	options.AddRtAttr(nl.TCA_TBF_PARMS, parms.Serialize())
	options.AddRtAttr(nl.TCA_TBF_BURST, nl.Uint32Attr(uint32(s.Burst)))
	if int64(s.Rate)/8 >= 1<<32 {
		options.AddRtAttr(nl.TCA_TBF_RATE64, nl.Uint64Attr(uint64(s.Rate)/8))
	}
	request := nl.NewNetlinkRequest(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK)
	request.AddData(&nl.TcMsg{
		Family: nl.FAMILY_ALL, Ifindex: int32(ifindex), Handle: netlink.MakeHandle(Handle, 0), Parent: netlink.HANDLE_ROOT,
	})
	request.AddData(nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated("tbf")))
	request.AddData(options)
	if _, err := request.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return missing("the tbf qdisc", "modprobe sch_tbf (CONFIG_NET_SCH_TBF)", err)
	}
	return nil
}

// missing tells a feature that isn't there from other errors.
func missing(feature, how string, err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return &MissingError{Feature: feature, How: how, Err: err}
	}
	return fmt.Errorf("%s: %w", feature, err)
}

// Stats are a direction's counters since it was shaped, or since the port was made where it isn't.
type Stats struct {
	Bytes, Packets uint64
	Drops          uint64 // of the queue
	Overlimits     uint64 // times that the rate was the limit
	Backlog        uint64 // bytes waiting now
}

// Read reads both directions.
func (w Wire) Read() (toNode, fromNode Stats, err error) {
	port, err := netlink.LinkByIndex(w.Port.Attrs().Index)
	if err != nil {
		return Stats{}, Stats{}, fmt.Errorf("read %s: %w", w.Port.Attrs().Name, err)
	}
	counters := port.Attrs().Statistics
	toNode = Stats{Bytes: counters.TxBytes, Packets: counters.TxPackets, Drops: counters.TxDropped}
	fromNode = Stats{Bytes: counters.RxBytes, Packets: counters.RxPackets, Drops: counters.RxDropped}
	if err := readQdisc(port, &toNode); err != nil {
		return Stats{}, Stats{}, fmt.Errorf("read %s: %w", w.Port.Attrs().Name, err)
	}
	if ifb, err := netlink.LinkByName(w.ifbName()); err == nil {
		if err := readQdisc(ifb, &fromNode); err != nil {
			return Stats{}, Stats{}, fmt.Errorf("read %s: %w", w.ifbName(), err)
		}
	}
	return toNode, fromNode, nil
}

// readQdisc puts the token bucket's counters in place of the device's, where there is one.
func readQdisc(link netlink.Link, into *Stats) error {
	qdiscs, err := netlink.QdiscList(link)
	if err != nil {
		return err
	}
	for _, q := range qdiscs {
		a := q.Attrs()
		if a.Handle != netlink.MakeHandle(Handle, 0) || a.Statistics == nil {
			continue
		}
		*into = Stats{
			Bytes: a.Statistics.Basic.Bytes, Packets: uint64(a.Statistics.Basic.Packets), Drops: uint64(a.Statistics.Queue.Drops),
			Overlimits: uint64(a.Statistics.Queue.Overlimits), Backlog: uint64(a.Statistics.Queue.Backlog),
		}
	}
	return nil
}
