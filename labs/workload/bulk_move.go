package workload

import (
	"context"
	"fmt"
	"io"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// notSentLimit bounds the data that waits in the sender's socket beyond what is in flight (tcp(7) TCP_NOTSENT_LOWAT):
	// several of the largest bursts that the stack hands to a device at once (64 KiB), yet 50 ms of 40 Mbit/s.
	notSentLimit = 256 << 10
	// minDataFrame is the first and the smallest size of frames.
	minDataFrame = 16 << 10
	// Data frames grow while one is sent within fastFrame, and shrink when one takes slowFrame.
	fastFrame = 1 * time.Millisecond
	slowFrame = 20 * time.Millisecond
)

// writeData sends data frames until the limit, then frameEnd. The payload is always the same bytes of one buffer, small
// enough for a core's own cache.
func (s *session) writeData(ctx context.Context) error {
	buffer := make([]byte, frameHeader+maxDataFrame)
	size, sent := minDataFrame, int64(0)
	for now := time.Now(); now.Sub(s.began) < s.limit.time; {
		if s.limit.bytes > 0 {
			size = int(min(int64(size), s.limit.bytes-sent))
		}
		if size == 0 {
			break
		}
		putHeader(buffer, frameData, size)
		if _, err := s.conn.Write(buffer[:frameHeader+size]); err != nil {
			return err
		}
		sent += int64(size)
		s.sent.Store(sent)
		before := now
		now = time.Now()
		switch took := now.Sub(before); {
		case took < fastFrame:
			size = min(2*size, maxDataFrame)
		case took > slowFrame:
			size = max(size/2, minDataFrame)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// What follows is small and the other end waits for it: no Nagle.
	if err := s.conn.SetNoDelay(true); err != nil {
		return err
	}
	return s.writeSignal(frameEnd)
}

// discarder receives bytes from a TCP socket and discards them inside the kernel, without a copy (tcp(7) MSG_TRUNC).
type discarder struct {
	raw    syscall.RawConn
	buffer []byte // never written to, so it takes only address space
	want   int
	n      int
	err    error
	// receive is shared by all reads, to avoid allocating a closure for each.
	receive func(fd uintptr) bool
}

func newDiscarder(raw syscall.RawConn) *discarder {
	d := &discarder{raw: raw, buffer: make([]byte, maxDataFrame)}
	d.receive = func(fd uintptr) bool {
		for {
			d.n, _, d.err = unix.Recvfrom(int(fd), d.buffer[:d.want], unix.MSG_TRUNC|unix.MSG_DONTWAIT)
			if d.err != unix.EINTR { //nolint:errorlint // a system call's own error
				return d.err != unix.EAGAIN //nolint:errorlint // a system call's own error
			}
		}
	}
	return d
}

// next waits for bytes, discards at most limit of them, and returns how many.
func (d *discarder) next(limit int) (int, error) {
	d.want = min(limit, len(d.buffer))
	if err := d.raw.Read(d.receive); err != nil {
		return 0, err
	}
	if d.err != nil {
		return 0, fmt.Errorf("recvfrom: %w", d.err)
	}
	if d.n == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return d.n, nil
}
