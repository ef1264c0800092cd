package workload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// BulkEnd is one end's report of a transfer.
type BulkEnd struct {
	// Local is the address of this end and Remote that of the other, as this end sees them.
	Local  netip.AddrPort `json:"local"`
	Remote netip.AddrPort `json:"remote"`
	// CongestionControl is the name of this end's congestion control.
	CongestionControl string `json:"congestionControl"`
	// Sent and Received count the payload bytes that the application wrote and got. Framing, 8 bytes for up to 256 KiB, is
	// not counted.
	Sent     int64 `json:"sent"`
	Received int64 `json:"received"`
	// FirstByte and LastByte are when the application got the first and the last payload, since the start of this end's
	// transfer, in nanoseconds.
	FirstByte time.Duration `json:"firstByteNs,omitzero"`
	LastByte  time.Duration `json:"lastByteNs,omitzero"`
	// Samples are taken every 100 ms (less often in transfers over five minutes), and once at the end, when all that
	// was sent had been delivered: the counters of the last sample are those of the whole transfer.
	Samples []Sample `json:"samples"`
}

// Sample is the state of one end at one time.
type Sample struct {
	At       time.Duration `json:"atNs"` // since the start of this end's transfer
	Sent     int64         `json:"sent"`
	Received int64         `json:"received"`
	TCP      TCPInfo       `json:"tcp"`
}

// sendLimit ends a transfer: the time always, the bytes unless 0.
type sendLimit struct {
	bytes int64
	time  time.Duration
}

// session is one end of one transfer, after request and answer. It is used only once.
type session struct {
	conn     *net.TCPConn
	raw      syscall.RawConn
	send     bool
	receive  bool
	limit    sendLimit
	grace    time.Duration
	began    time.Time
	sent     atomic.Int64
	received atomic.Int64

	// gotEnd is closed by the reader at frameEnd, delivered at frameGot.
	gotEnd, delivered chan struct{}
	// own is known from the start; first, last and peer belong to the reader until it has ended, the first two
	// only until it has closed gotEnd.
	own         BulkEnd
	first, last time.Duration
	peer        *BulkEnd
}

func newSession(conn *net.TCPConn, r bulkRequest, send, receive bool, grace time.Duration) (*session, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	name, err := congestionControl(raw)
	if err != nil {
		return nil, err
	}
	s := &session{
		conn: conn, raw: raw, send: send, receive: receive, limit: r.limit(), grace: grace,
		gotEnd: make(chan struct{}), delivered: make(chan struct{}),
		own: BulkEnd{Local: AddrPortOf(conn.LocalAddr()), Remote: AddrPortOf(conn.RemoteAddr()), CongestionControl: name},
	}
	if !send {
		close(s.delivered)
		return s, nil
	}
	// Keep little data in the socket beyond what is in flight, so that on a slow path the end of the data, and the report
	// behind it, are not seconds late.
	if err := setOption(conn, unix.TCP_NOTSENT_LOWAT, notSentLimit); err != nil {
		return nil, fmt.Errorf("limit unsent bytes: %w", err)
	}
	// Nagle's algorithm (RFC 896) keeps segments full where writes meet.
	if err := conn.SetNoDelay(false); err != nil {
		return nil, fmt.Errorf("set Nagle's algorithm: %w", err)
	}
	return s, nil
}

// run performs the transfer. own is this end's report and peer that of the other end, nil if it
// did not arrive; both are valid with an error too. The caller closes the connection.
func (s *session) run(ctx context.Context) (own, peer *BulkEnd, err error) {
	s.began = time.Now()
	if !s.receive {
		close(s.gotEnd)
	}
	bounded, cancel := context.WithTimeout(ctx, s.limit.time+s.grace)
	defer cancel()
	group, inner := errgroup.WithContext(bounded)
	stop := Interruptible(inner, s.conn) // also when one of the two below fails
	sampler := startSampler(s)
	group.Go(s.read)
	group.Go(func() error { return s.write(inner, sampler) })
	err = group.Wait()
	switch {
	case err == nil:
	case ended(ctx) != nil:
		err = ended(ctx)
	case ended(bounded) != nil:
		err = fmt.Errorf("transfer not complete %s after its end: %w", s.grace, err)
	}
	stop()
	own = s.report(sampler)
	return own, s.peer, err
}

// report returns this end's report. It ends the sampler, and must not run before the reader has closed gotEnd or ended.
func (s *session) report(sampler *sampler) *BulkEnd {
	report := s.own
	report.Samples = sampler.stop()
	report.Sent, report.Received = s.sent.Load(), s.received.Load()
	report.FirstByte, report.LastByte = s.first, s.last
	return &report
}

// write sends the data, waits until both directions are complete, and reports. All writes of this end happen here,
// in the protocol's order.
func (s *session) write(ctx context.Context, sampler *sampler) error {
	if s.send {
		if err := s.writeData(ctx); err != nil {
			return fmt.Errorf("send data: %w", err)
		}
	}
	if err := await(ctx, s.gotEnd); err != nil {
		return err
	}
	if s.receive {
		if err := s.writeSignal(frameGot); err != nil {
			return fmt.Errorf("send receipt: %w", err)
		}
	}
	if err := await(ctx, s.delivered); err != nil {
		return err
	}
	frame, err := appendJSONFrame(nil, frameReport, s.report(sampler))
	if err == nil {
		_, err = s.conn.Write(frame)
	}
	if err != nil {
		return fmt.Errorf("send report: %w", err)
	}
	return nil
}

func await(ctx context.Context, through <-chan struct{}) error {
	select {
	case <-through:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the transfer's end: %w", ctx.Err())
	}
}

func (s *session) writeSignal(kind frameType) error {
	var header [frameHeader]byte
	putHeader(header[:], kind, 0)
	_, err := s.conn.Write(header[:])
	return err
}

// read receives frames until the other end's report.
func (s *session) read() error {
	discard := newDiscarder(s.raw)
	var header [frameHeader]byte
	for {
		if _, err := io.ReadFull(s.conn, header[:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = ErrEnded
			}
			return fmt.Errorf("read frame: %w", err)
		}
		kind, length, err := parseHeader(header[:])
		if err != nil {
			return err
		}
		switch kind {
		case frameData:
			err = s.readData(discard, length)
		case frameEnd:
			err = s.signal(s.gotEnd)
		case frameGot:
			err = s.signal(s.delivered)
		case frameReport:
			return s.readReport(length)
		case frameAnswer:
			err = errors.New("read frame: found a second answer (want one)")
		}
		if err != nil {
			return err
		}
	}
}

// readReport reads the other end's report, the last frame.
func (s *session) readReport(length int) error {
	for _, through := range []chan struct{}{s.delivered, s.gotEnd} {
		select {
		case <-through:
		default:
			return errors.New("read frame: found a report before the transfer's end")
		}
	}
	peer := &BulkEnd{}
	if err := readJSONPayload(s.conn, length, peer); err != nil {
		return err
	}
	s.peer = peer
	return nil
}

// signal closes a channel that only the reader closes.
func (s *session) signal(c chan struct{}) error {
	select {
	case <-c:
		return errors.New("read frame: found an unexpected or repeated end of a direction")
	default:
		close(c)
		return nil
	}
}

// readData receives one data frame's payload.
func (s *session) readData(discard *discarder, length int) error {
	if !s.receive {
		return errors.New("read frame: found data in a direction that has none")
	}
	for length > 0 {
		n, err := discard.next(length)
		if err != nil {
			return fmt.Errorf("receive data: %w", err)
		}
		s.last = time.Since(s.began)
		if s.received.Add(int64(n)) == int64(n) {
			s.first = s.last
		}
		length -= n
	}
	return nil
}
