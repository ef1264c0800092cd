package netns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
	"unsafe"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/sys/unix"
)

const (
	captureBuffer = 32 << 20 // bytes of the socket, so that a burst is not lost
	snapLength    = 256 << 10
	capturePoll   = 100 // milliseconds between looks at whether to stop
)

// StartCapture captures what comes in and goes out by a device of a place, as pcapng. When it returns, the socket listens: no
// later packet is missed. stop waits for what is under way and flushes; it says when packets were lost.
func (l *Lab) StartCapture(ctx context.Context, place, device string, w io.Writer) (stop func() error, err error) {
	fd, iface := -1, (*net.Interface)(nil)
	err = l.Do(place, func() error {
		if iface, err = net.InterfaceByName(device); err != nil {
			return err
		}
		fd, err = openPacketSocket(iface.Index)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("capture %s of %s: %w", device, place, err)
	}
	writer, err := pcapgo.NewNgWriterInterface(w, pcapgo.NgInterface{
		Name: place + "/" + device, LinkType: layers.LinkTypeEthernet, SnapLength: 0, TimestampResolution: 9,
	}, pcapgo.DefaultNgWriterOptions)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("capture %s of %s: %w", device, place, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		err := capture(ctx, fd, writer)
		done <- errors.Join(err, writer.Flush(), lost(fd), unix.Close(fd))
	}()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	return stop, nil
}

// Capture captures until ctx ends.
func (l *Lab) Capture(ctx context.Context, place, device string, w io.Writer) error {
	stop, err := l.StartCapture(ctx, place, device, w)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return stop()
}

func openPacketSocket(ifindex int) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, missing("packet sockets", "CAP_NET_RAW, and a kernel with CONFIG_PACKET", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, captureBuffer) // else the default's size
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: ifindex}),
	)
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func networkOrder(v uint16) uint16 { return v<<8 | v>>8 }

// capture writes packets until ctx ends and none is waiting.
func capture(ctx context.Context, fd int, w *pcapgo.NgWriter) error {
	frame, control := make([]byte, snapLength), make([]byte, 128)
	for {
		n, controlLength, _, _, err := unix.Recvmsg(fd, frame, control, 0)
		switch {
		case err == nil:
			info := gopacket.CaptureInfo{Timestamp: timestamp(control[:controlLength]), CaptureLength: n, Length: n}
			if err := w.WritePacket(info, frame[:n]); err != nil {
				return err
			}
		case errors.Is(err, unix.EAGAIN):
			if ctx.Err() != nil {
				return nil
			}
			if err := w.Flush(); err != nil {
				return err
			}
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, capturePoll)
			if err != nil && !errors.Is(err, unix.EINTR) {
				return err
			}
		case errors.Is(err, unix.EINTR):
		default:
			return err
		}
	}
}

// timestamp is when the kernel saw the packet.
func timestamp(control []byte) time.Time {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return time.Now()
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= int(unsafe.Sizeof(unix.Timespec{})) {
			at := (*unix.Timespec)(unsafe.Pointer(&m.Data[0]))
			return time.Unix(at.Unix())
		}
	}
	return time.Now()
}

// lost says how many packets the socket had no room for.
func lost(fd int) error {
	stats, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return err
	}
	if stats.Drops > 0 {
		return fmt.Errorf("the capture lost %d of %d packets", stats.Drops, stats.Packets)
	}
	return nil
}
