package netns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/internal/words"
)

const (
	captureBuffer = 32 << 20  // bytes of the socket, so that a burst is not lost
	frameLimit    = 256 << 10 // more than the longest super-packet has
)

// CaptureOptions say what is captured.
type CaptureOptions struct {
	// Device of the namespace. Default: all but its loopback.
	Device string
	// Filter is a classic BPF program that gets each frame from its Ethernet header on (packet(7)). Default: everything.
	Filter []unix.SockFilter
	// Count is how many packets are captured at most; 0 is no limit.
	Count uint64
	// Comments are written with the packets that they are about; nil: none. Packets are then written some ten milliseconds late.
	Comments Commenter
}

// CaptureStats are what became of the packets that passed the filter.
type CaptureStats struct {
	Packets uint64 // written
	Lost    uint64 // for which the socket had no room
}

// Capture is a socket that listens to devices of a namespace.
type Capture struct {
	options CaptureOptions
	ns      string
	socket  int
	devices map[int]int // index of the device to number of the interface in the file
	names   []string    // by that number

	comments *commentator // while it records, where packets are commented on
}

// OpenCapture begins to listen. No packet that comes later is missed, in either direction. The caller closes the capture.
func (nw *Network) OpenCapture(ns string, o CaptureOptions) (*Capture, error) {
	c := &Capture{options: o, ns: ns, socket: -1, devices: make(map[int]int)}
	err := nw.Do(ns, func() error {
		index, err := c.choose()
		if err == nil {
			c.socket, err = openPacketSocket(index, o.Filter)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("capture in %s: %w", ns, err)
	}
	return c, nil
}

// choose lists the devices to listen to, and returns the index to bind to. Call it inside the namespace.
func (c *Capture) choose() (index int, err error) {
	all, err := net.Interfaces()
	if err != nil {
		return 0, err
	}
	var names []string
	for _, device := range all {
		names = append(names, device.Name)
		if device.Name == c.options.Device {
			index = device.Index
		}
		if device.Name == c.options.Device || c.options.Device == "" && device.Flags&net.FlagLoopback == 0 {
			c.devices[device.Index] = len(c.names)
			c.names = append(c.names, device.Name)
		}
	}
	if len(c.names) == 0 {
		return 0, fmt.Errorf("no device %q (want one of %s)", c.options.Device, words.List(names))
	}
	return index, nil
}

// openPacketSocket listens to a device, or to all by index 0. It gets its filter before its device: nothing else comes in.
func openPacketSocket(index int, filter []unix.SockFilter) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, missing("packet sockets", "a kernel with CONFIG_PACKET", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, captureBuffer) // else the default's size
	if len(filter) > 0 {
		program := &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, program); err != nil {
			unix.Close(fd)
			return -1, fmt.Errorf("attach filter: %w", err)
		}
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: index}),
	)
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func networkOrder(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// Close stops listening.
func (c *Capture) Close() error { return unix.Close(c.socket) }

// Record writes packets as pcapng until ctx ends, or there are as many as were asked for. What came in by then is written, and
// all is flushed, also when it fails.
func (c *Capture) Record(ctx context.Context, w io.Writer) (CaptureStats, error) {
	file, err := c.begin(w)
	if err != nil {
		return CaptureStats{}, fmt.Errorf("capture in %s: %w", c.ns, err)
	}
	var stats CaptureStats
	err = c.copy(ctx, file, &stats)
	lost, lostErr := unix.GetsockoptTpacketStats(c.socket, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if lostErr == nil {
		stats.Lost = uint64(lost.Drops)
	}
	switch {
	case c.comments == nil:
	case c.comments.ended:
		stats.Lost = c.comments.lostByEnd
	default:
		stats.Lost += c.comments.lost // reading the statistics resets them
	}
	if err := errors.Join(err, lostErr, file.Flush()); err != nil {
		return stats, fmt.Errorf("capture in %s: %w", c.ns, err)
	}
	return stats, nil
}

func (c *Capture) begin(w io.Writer) (file *pcapgo.NgWriter, err error) {
	for i, name := range c.names {
		of := pcapgo.NgInterface{Name: c.ns + "/" + name, LinkType: layers.LinkTypeEthernet, TimestampResolution: 9}
		if i == 0 {
			file, err = pcapgo.NewNgWriterInterface(w, of, pcapgo.DefaultNgWriterOptions)
		} else {
			_, err = file.AddInterface(of)
		}
		if err != nil {
			return nil, err
		}
	}
	return file, nil
}

// copy reads packets from the socket and writes them.
func (c *Capture) copy(ctx context.Context, file *pcapgo.NgWriter, stats *CaptureStats) (err error) {
	ended, err := wakeWhenDone(ctx)
	if err != nil {
		return err
	}
	defer ended.close()
	if c.options.Comments != nil {
		if c.comments, err = newCommentator(c.socket, c.options.Comments); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.comments.close(file)) }()
	}
	ending := false
	frame, control := make([]byte, frameLimit), make([]byte, 128)
	for {
		full := c.full(stats)
		if full && c.comments == nil {
			return nil
		}
		if !ending && (full || ctx.Err() != nil) {
			ending = true
			if err := c.end(); err != nil {
				return err
			}
		}
		if c.comments != nil && c.comments.done() {
			return nil
		}
		n, controlLength, _, from, err := unix.Recvmsg(c.socket, frame, control, 0)
		switch {
		case err == nil:
			if err := c.write(file, from, timestamp(control[:controlLength]), frame[:n], stats); err != nil {
				return err
			}
		case errors.Is(err, unix.EAGAIN):
			if done, err := c.idle(file, ended, ending); done || err != nil {
				return err
			}
			continue
		case errors.Is(err, unix.ENETDOWN):
			return errors.New("the device is down, or gone")
		case !errors.Is(err, unix.EINTR):
			return err
		}
		if c.comments != nil {
			if err := c.comments.turn(file, false); err != nil {
				return err
			}
		}
	}
}

// full reports whether there are as many packets as were asked for.
func (c *Capture) full(stats *CaptureStats) bool {
	return c.options.Count > 0 && stats.Packets >= c.options.Count
}

// idle waits until there is something to do after the socket had nothing to read. It reports whether the capture is complete.
func (c *Capture) idle(file *pcapgo.NgWriter, ended *wakeup, ending bool) (done bool, err error) {
	if c.comments == nil {
		if ending {
			return true, nil
		}
		return false, errors.Join(file.Flush(), ended.wait(c.socket, -1))
	}
	if err := c.comments.turn(file, true); err != nil {
		return false, err
	}
	switch {
	case ending:
		c.comments.await()
		return c.comments.done(), nil
	case len(c.comments.held) > 0:
		return false, ended.wait(c.socket, int(graceEvery.Milliseconds()))
	}
	return false, ended.wait(c.socket, -1)
}

// end ends the capture: what the socket holds by now is written.
func (c *Capture) end() error {
	if c.comments != nil {
		return c.comments.end()
	}
	return c.refuse()
}

// refuse lets no more packets in, so that what the socket holds has an end. The packets' timestamps would not do: the kernel begins to
// take them some time after the first socket has asked, and gives a packet without one the time at which it is read
// (net_enable_timestamp and __sock_recv_timestamp, net/core/dev.c and net/socket.c).
func (c *Capture) refuse() error {
	nothing := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	program := unix.SockFprog{Len: uint16(len(nothing)), Filter: &nothing[0]}
	if err := unix.SetsockoptSockFprog(c.socket, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
		return fmt.Errorf("end the capture: %w", err)
	}
	return nil
}

func (c *Capture) write(file *pcapgo.NgWriter, from unix.Sockaddr, at time.Time, frame []byte, stats *CaptureStats) error {
	link, ok := from.(*unix.SockaddrLinklayer)
	if !ok {
		return fmt.Errorf("a packet from %T", from)
	}
	number, known := c.devices[link.Ifindex] // not the loopback, or a device that came later
	direction := pcapgo.NgEpbFlagDirectionInbound
	if link.Pkttype == unix.PACKET_OUTGOING {
		direction = pcapgo.NgEpbFlagDirectionOutbound
	}
	info := gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(frame), Length: len(frame), InterfaceIndex: number}
	options := pcapgo.NgPacketOptions{Flags: &pcapgo.NgEpbFlags{Direction: direction}}
	wanted := known && !c.full(stats) && (c.comments == nil || !c.comments.later())
	if wanted {
		stats.Packets++
	}
	if c.comments != nil {
		device := ""
		if known {
			device = c.names[number]
		}
		c.comments.add(heldPacket{info: info, options: options, frame: frame, written: wanted}, device)
		return nil
	}
	if !wanted {
		return nil
	}
	return file.WritePacketWithOptions(info, frame, options)
}

// timestamp is when the kernel saw the packet (struct timespec).
func timestamp(control []byte) time.Time {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return time.Now()
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
			return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
		}
	}
	return time.Now()
}

// wakeup ends a poll when a context ends.
type wakeup struct {
	event  int // file descriptor
	cancel func() bool
	woken  sync.WaitGroup
}

func wakeWhenDone(ctx context.Context) (*wakeup, error) {
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make eventfd: %w", err)
	}
	w := &wakeup{event: event}
	w.woken.Add(1)
	w.cancel = context.AfterFunc(ctx, func() {
		defer w.woken.Done()
		_, _ = unix.Write(event, binary.NativeEndian.AppendUint64(nil, 1)) // it can't be full
	})
	return w, nil
}

// wait returns when there is something to read, the context has ended, or a time in milliseconds is over; -1: it never is.
func (w *wakeup) wait(socket, milliseconds int) error {
	_, err := unix.Poll([]unix.PollFd{{Fd: int32(socket), Events: unix.POLLIN}, {Fd: int32(w.event), Events: unix.POLLIN}}, milliseconds)
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	return err
}

func (w *wakeup) close() {
	if !w.cancel() {
		w.woken.Wait() // it still writes
	}
	unix.Close(w.event)
}

// StartCapture captures what comes in and goes out by a device of a namespace, as pcapng, until stop is called or ctx ends. When it
// returns, the socket listens. stop writes what is under way; it says when packets were lost.
func (nw *Network) StartCapture(ctx context.Context, ns, device string, w io.Writer) (stop func() error, err error) {
	c, err := nw.OpenCapture(ns, CaptureOptions{Device: device})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		stats, err := c.Record(ctx, w)
		if stats.Lost > 0 {
			err = errors.Join(err, fmt.Errorf("the capture in %s lost %d packets and has %d", ns, stats.Lost, stats.Packets))
		}
		done <- errors.Join(err, c.Close())
	}()
	return sync.OnceValue(func() error {
		cancel()
		return <-done
	}), nil
}
