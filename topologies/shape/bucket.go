package shape

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/rtnl"
)

// Handle is the major number of all qdiscs that are made here (0xd5a1: "dsrl").
const Handle = 0xd5a1

// tick is the kernel's unit for a bucket's depth, in nanoseconds (PSCHED_SHIFT, include/net/pkt_sched.h).
const tick = 64

// unlimited is a peak rate, in bytes/s, that no frame waits for: a full one has passed in 15 ns.
const unlimited = 100e9

// limits of what the kernel's message holds.
const (
	maxBytes    = math.MaxUint32
	maxOverhead = math.MaxUint16
)

// setBucket makes, or changes, a device's root qdisc, for frames of so many bytes at most. The library's own Tbf knows no overhead,
// and that must be counted by frame: net/sched/sch_tbf.c adds the rate's overhead to each packet that it sends. A packet that is longer
// than the burst, or than the burst of the peak rate, it segments before it queues (tbf_segment). So there is a peak rate: its burst is
// one frame, and it limits nothing else.
func setBucket(c *rtnl.Conn, link netlink.Link, s topologies.Shape, frame int) error {
	if s.Queue < 0 || s.Queue > maxBytes || s.Burst <= 0 || s.Burst > maxBytes {
		return fmt.Errorf("queue of %d and burst of %d bytes: use a queue of 0 to %d and a burst of 1 to %d", s.Queue, s.Burst, maxBytes, maxBytes)
	}
	overhead := 0
	if s.Overhead != nil {
		overhead = *s.Overhead
	}
	if overhead < 0 || overhead > maxOverhead {
		return fmt.Errorf("overhead of %d bytes: use 0 to %d", overhead, maxOverhead)
	}
	rate := uint64(s.Rate) / 8 // bytes/s
	parms := nl.TcTbfQopt{Limit: uint32(s.Queue)}
	parms.Rate.Rate = uint32(min(rate, math.MaxUint32))
	parms.Rate.Linklayer = nl.LINKLAYER_ETHERNET
	parms.Rate.Overhead = uint16(overhead)
	parms.Peakrate.Rate = math.MaxUint32
	options := nl.NewRtAttr(nl.TCA_OPTIONS, nil)
	options.AddRtAttr(nl.TCA_TBF_PARMS, parms.Serialize())
	options.AddRtAttr(nl.TCA_TBF_BURST, nl.Uint32Attr(uint32(s.Burst)))
	options.AddRtAttr(nl.TCA_TBF_PRATE64, nl.Uint64Attr(unlimited))
	options.AddRtAttr(nl.TCA_TBF_PBURST, nl.Uint32Attr(uint32(frame)))
	if rate > math.MaxUint32 {
		options.AddRtAttr(nl.TCA_TBF_RATE64, nl.Uint64Attr(rate))
	}
	request := c.Request(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK)
	request.AddData(bucketOf(link))
	request.AddData(nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated("tbf")))
	request.AddData(options)
	if _, err := request.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return missing("the tbf qdisc", "modprobe sch_tbf (CONFIG_NET_SCH_TBF)", err)
	}
	return nil
}

// bucketOf addresses a device's root qdisc if it is ours.
func bucketOf(link netlink.Link) *nl.TcMsg {
	return &nl.TcMsg{
		Family: nl.FAMILY_ALL, Ifindex: int32(link.Attrs().Index), Handle: netlink.MakeHandle(Handle, 0), Parent: netlink.HANDLE_ROOT,
	}
}

// isNone reports whether a device's root qdisc is none of ours (tc_get_qdisc, net/sched/sch_api.c).
func isNone(err error) bool { return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) }

// removeBucket removes a device's token bucket, if there is one.
func removeBucket(c *rtnl.Conn, link netlink.Link) error {
	request := c.Request(unix.RTM_DELQDISC, unix.NLM_F_ACK)
	request.AddData(bucketOf(link))
	if _, err := request.Execute(unix.NETLINK_ROUTE, 0); err != nil && !isNone(err) {
		return fmt.Errorf("remove the tbf qdisc: %w", err)
	}
	return nil
}

// readBucket reads a device's token bucket, if there is one.
func readBucket(c *rtnl.Conn, link netlink.Link) (s Stats, shaped bool, err error) {
	request := c.Request(unix.RTM_GETQDISC, unix.NLM_F_ACK|unix.NLM_F_ECHO) // the answer is a notification: it comes as an echo
	request.AddData(bucketOf(link))
	messages, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWQDISC)
	if isNone(err) {
		return Stats{}, false, nil
	}
	if err != nil {
		return Stats{}, false, fmt.Errorf("read the tbf qdisc: %w", err)
	}
	if len(messages) == 0 {
		return Stats{}, false, nil
	}
	if s, err = parseBucket(messages[0]); err != nil {
		return Stats{}, false, fmt.Errorf("read the tbf qdisc: %w", err)
	}
	return s, true, nil
}

func parseBucket(message []byte) (s Stats, err error) {
	if len(message) < nl.SizeofTcMsg {
		return Stats{}, errors.New("message cut short")
	}
	attributes, err := parse(message[nl.SizeofTcMsg:])
	if err != nil {
		return Stats{}, err
	}
	if s.Shape, err = shapeOf(attributes[nl.TCA_OPTIONS]); err != nil {
		return Stats{}, err
	}
	return s, s.count(attributes[nl.TCA_STATS2])
}

// parse splits attributes by their type.
func parse(data []byte) (map[uint16][]byte, error) {
	list, err := nl.ParseRouteAttr(data)
	if err != nil {
		return nil, err
	}
	by := make(map[uint16][]byte, len(list))
	for _, a := range list {
		by[a.Attr.Type&nl.NLA_TYPE_MASK] = a.Value
	}
	return by, nil
}

// shapeOf is what setBucket has set. The kernel keeps the burst as time, rounded down to a tick.
func shapeOf(options []byte) (topologies.Shape, error) {
	attributes, err := parse(options)
	if err != nil {
		return topologies.Shape{}, err
	}
	if len(attributes[nl.TCA_TBF_PARMS]) < nl.SizeofTcTbfQopt {
		return topologies.Shape{}, errors.New("no parameters")
	}
	parms := nl.DeserializeTcTbfQopt(attributes[nl.TCA_TBF_PARMS])
	rate := uint64(parms.Rate.Rate)
	if wide := attributes[nl.TCA_TBF_RATE64]; len(wide) == 8 {
		rate = binary.NativeEndian.Uint64(wide)
	}
	overhead := int(parms.Rate.Overhead)
	depth := float64(parms.Buffer) * tick * float64(rate) / 1e9
	return topologies.Shape{
		Rate: topologies.Rate(rate * 8), Limit: topologies.LimitShape, Queue: topologies.Size(parms.Limit), Overhead: &overhead,
		Burst: topologies.Size(math.Round(depth)) - topologies.Size(overhead),
	}, nil
}

// count reads struct gnet_stats_basic and gnet_stats_queue (include/uapi/linux/gen_stats.h).
func (s *Stats) count(stats []byte) error {
	attributes, err := parse(stats)
	if err != nil {
		return err
	}
	basic, queue := attributes[nl.TCA_STATS_BASIC], attributes[nl.TCA_STATS_QUEUE]
	if len(basic) < 12 || len(queue) < 20 {
		return errors.New("no counters")
	}
	s.Bytes = binary.NativeEndian.Uint64(basic)
	s.Packets = uint64(binary.NativeEndian.Uint32(basic[8:]))
	if wide := attributes[nl.TCA_STATS_PKT64]; len(wide) == 8 {
		s.Packets = binary.NativeEndian.Uint64(wide)
	}
	s.Backlog = uint64(binary.NativeEndian.Uint32(queue[4:]))
	s.Drops = uint64(binary.NativeEndian.Uint32(queue[8:]))
	s.Overlimits = uint64(binary.NativeEndian.Uint32(queue[16:]))
	return nil
}
