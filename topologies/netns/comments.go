package netns

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/sys/unix"
)

// Commenter knows what programs at the ingress of a namespace's devices have decided about packets, and comments on those of a capture.
//
// No decision names its packet, so the order of things has to say whose it is. A packet that comes in is first put into the queue of
// the capture's socket and then given to the device's program, in one RCU read-side critical section (__netif_receive_skb_core,
// net/core/dev.c). So a decision that can be read is about a packet that can be read from the socket, and once a grace period has
// passed, no packet that was read from the socket has a decision that can't be read. Times play no part.
type Commenter interface {
	// Begin passes over all decisions up to now. All later ones are about packets of the capture.
	Begin() error
	// Packet takes a packet that came in, in the order of capture. The frame is only valid during the call.
	Packet(device string, frame []byte)
	// Read takes the decisions that were written since the last call.
	Read() error
	// Comments returns comments on the first n packets that it has no comment returned on; empty for none. All decisions about them
	// were read, and every decision that was read is about a packet that was handed over.
	Comments(n int) []string
}

// gracePeriod waits until every CPU has left the RCU read-side critical sections that it was in: closing a packet socket does, also
// one that has never listened (packet_release, net/packet/af_packet.c).
func gracePeriod() error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Close(fd)
	}
	if err != nil {
		return fmt.Errorf("wait for the kernel: %w", err)
	}
	return nil
}

// graceEvery bounds how often the kernel is asked for a grace period.
const graceEvery = 10 * time.Millisecond

// heldPacket is one that is not written yet.
type heldPacket struct {
	info    gopacket.CaptureInfo
	options pcapgo.NgPacketOptions
	frame   []byte
	asked   bool // handed to the commenter
	written bool // false for one beyond the capture's count or after its end, which only the commenter is handed
}

// commentator writes packets in the order of capture once their comments are known. In turns: it waits for a grace period, reads
// decisions, reads from the socket what was in its queue by then, and writes all packets from before the grace period.
type commentator struct {
	socket    int
	commenter Commenter
	held      []heldPacket
	settling  int        // how many of held are from before the grace period
	grace     chan error // what is under way; nil if nothing is
	draining  bool       // decisions were read, packets from before that may be in the socket
	passed    uint64     // packets of which the socket has taken note, by its statistics
	lost      uint64     // of these, for which it had no room
	read      uint64
	ended     bool
	last      uint64 // number of the last packet of the capture, once it has ended; the first has number 1
	lostByEnd uint64
}

// newCommentator begins once no packet is on its way that came before the socket listened.
func newCommentator(socket int, c Commenter) (*commentator, error) {
	if err := gracePeriod(); err != nil {
		return nil, err
	}
	if err := c.Begin(); err != nil {
		return nil, err
	}
	return &commentator{socket: socket, commenter: c}, nil
}

// end lets the capture end with what is in the socket now. What comes later is read, too, but not written: a decision about it may be among
// those that are read.
func (c *commentator) end() error {
	if err := c.count(); err != nil {
		return err
	}
	c.ended, c.last, c.lostByEnd = true, c.passed-c.lost, c.lost
	return nil
}

// later reports whether the next packet to be read came after the end.
func (c *commentator) later() bool { return c.ended && c.read >= c.last }

// done reports whether all packets of a capture that has ended are written.
func (c *commentator) done() bool {
	return c.later() && !slices.ContainsFunc(c.held, func(p heldPacket) bool { return p.written })
}

// add takes a packet that was read from the socket.
func (c *commentator) add(p heldPacket, device string) {
	c.read++
	if p.options.Flags.Direction == pcapgo.NgEpbFlagDirectionInbound {
		p.asked = true
		c.commenter.Packet(device, p.frame)
	}
	if p.written {
		p.frame = slices.Clone(p.frame)
	} else {
		p.frame = nil
	}
	c.held = append(c.held, p)
}

// turn goes one step on if it can without waiting. empty: the socket has nothing to read at this moment.
func (c *commentator) turn(file *pcapgo.NgWriter, empty bool) error {
	switch {
	case c.grace != nil:
		select {
		case err := <-c.grace:
			c.grace = nil
			if err != nil {
				return err
			}
		default:
			return nil
		}
		if err := c.commenter.Read(); err != nil {
			return err
		}
		// Not before: a packet whose decision was read is counted now.
		if err := c.count(); err != nil {
			return err
		}
		c.draining = true
		return c.turn(file, false) // empty was before
	case c.draining && (empty || c.read >= c.passed-c.lost):
		c.draining = false
		return c.write(file, c.settling, c.commenter.Comments(c.asked(c.settling)))
	case !c.draining && len(c.held) > 0:
		c.settling = len(c.held)
		c.grace = make(chan error, 1)
		go func(grace chan<- error) {
			time.Sleep(graceEvery)
			grace <- gracePeriod()
		}(c.grace)
	}
	return nil
}

// await waits for the grace period that is under way, if one is.
func (c *commentator) await() {
	if c.grace != nil {
		c.grace <- <-c.grace // for turn
	}
}

// count reads, and so resets, the socket's statistics.
func (c *commentator) count() error {
	stats, err := unix.GetsockoptTpacketStats(c.socket, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return err
	}
	c.passed += uint64(stats.Packets) // those lost among them
	c.lost += uint64(stats.Drops)
	return nil
}

// asked is how many of the first n packets that are held the commenter was handed.
func (c *commentator) asked(n int) (asked int) {
	for i := range c.held[:n] {
		if c.held[i].asked {
			asked++
		}
	}
	return asked
}

// write writes the first n packets that are held, with the comments on those that the commenter was handed. After a loss there are none
// any more: a decision may be that of a packet which is not there.
func (c *commentator) write(file *pcapgo.NgWriter, n int, comments []string) error {
	for i := range c.held[:n] {
		p := &c.held[i]
		if p.asked && len(comments) > 0 {
			if comments[0] != "" && c.lost == 0 {
				p.options.Comments = comments[:1]
			}
			comments = comments[1:]
		}
		if !p.written {
			continue
		}
		if err := file.WritePacketWithOptions(p.info, p.frame, p.options); err != nil {
			return err
		}
	}
	c.held = slices.Delete(c.held, 0, n)
	return file.Flush()
}

// close waits for what is under way, and writes the packets that are left, without comments.
func (c *commentator) close(file *pcapgo.NgWriter) error {
	var err error
	if c.grace != nil {
		err = <-c.grace
	}
	return errors.Join(err, c.write(file, len(c.held), nil))
}
