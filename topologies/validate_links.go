package topologies

import "time"

const (
	minRate Rate = 1_000           // below it a frame takes seconds
	maxRate Rate = 400_000_000_000 // far above what a veth carries
	maxSize Size = 1 << 30         // the kernel counts queues in 32 bits
	// maxBurst is below what the kernel can hold: 2^32 ticks of 64 ns (net/sched/sch_tbf.c, PSCHED_SHIFT).
	maxBurst    = time.Minute
	maxOverhead = 256
)

// link checks a link whose defaults are filled in.
func (c *checker) link(field string, l *LinkSpec, mtu int) {
	used := l.Rate != 0
	for _, way := range []struct {
		name  string
		shape *Shape
	}{{"toNode", l.ToNode}, {"fromNode", l.FromNode}} {
		if way.shape != nil {
			c.shape(field, way.name+".", way.shape, &l.Shape, mtu)
			used = used || way.shape.Rate != 0
		}
	}
	if used && l.Rate == 0 { // then it is what the directions take their own from
		c.limit(field+".limit", l.Limit)
		return
	}
	c.shape(field, "", &l.Shape, nil, mtu)
}

// shape checks one direction of a link, or all of it. What a direction took over from the link is reported there.
func (c *checker) shape(field, way string, s, link *Shape, mtu int) {
	at := func(name string, own bool) string {
		if own {
			return field + "." + way + name
		}
		return field + "." + name
	}
	rate := at("rate", link == nil || link.Rate != s.Rate)
	queue := at("queue", link == nil || link.Queue != s.Queue)
	burst := at("burst", link == nil || link.Burst != s.Burst)
	limit := at("limit", link == nil || link.Limit != s.Limit)
	if !c.limit(limit, s.Limit) {
		return
	}
	if s.Rate == 0 {
		if s.Limit != "" {
			c.errorf(limit, "needs a rate: without one the wire is not limited")
		}
		if s.Queue != 0 {
			c.errorf(queue, "needs a rate: without one nothing waits for the wire")
		}
		if s.Burst != 0 {
			c.errorf(burst, "needs a rate: without one the wire is not shaped")
		}
		if s.Overhead != nil {
			c.errorf(at("overhead", link == nil || link.Overhead != s.Overhead), "needs a rate: without one the wire is not shaped")
		}
		return
	}
	if s.Rate < minRate || s.Rate > maxRate {
		c.errorf(rate, "is %s, want %s to %s", s.Rate, minRate, maxRate)
		return
	}
	if s.Overhead != nil && (*s.Overhead < 0 || *s.Overhead > maxOverhead) {
		c.errorf(at("overhead", link == nil || link.Overhead == nil || *link.Overhead != *s.Overhead),
			"is %d, want 0 to %d bytes a frame", *s.Overhead, maxOverhead)
		return
	}
	frame := s.frame(mtu)
	if s.Limit != LimitPolice {
		c.size(queue, s.Queue, frame)
	} else if s.Queue != 0 {
		c.errorf(queue, "is %s, want none: a policer has no queue (limit: shape has one)", s.Queue)
	}
	if c.size(burst, s.Burst, frame) && s.Burst > s.Rate.in(maxBurst) {
		c.errorf(burst, "is %s, which takes more than %s at %s", s.Burst, maxBurst, s.Rate)
	}
}

// limit checks what a link does with frames over its rate.
func (c *checker) limit(field string, l Limit) bool {
	if l == "" || l == LimitShape || l == LimitPolice {
		return true
	}
	c.errorf(field, "unknown limit %q (want %s or %s)", l, LimitShape, LimitPolice)
	return false
}

// size checks a queue or burst, which must hold a frame.
func (c *checker) size(field string, s, frame Size) bool {
	switch {
	case s < frame:
		c.errorf(field, "is %s, want at least one full frame: %db of MTU, Ethernet header and overhead", s, int64(frame))
	case s > maxSize:
		c.errorf(field, "is %s, want at most %s", s, maxSize)
	default:
		return true
	}
	return false
}
