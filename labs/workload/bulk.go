package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// DefaultGrace is how long after its time the end of a transfer and the server's report may take to arrive. A stream whose segments
	// a policer drops again and again waits twice as long each time (RFC 6298, 5.5): for its last segment as long as it has been
	// losing them, and many streams lose them until most have ended.
	DefaultGrace = 90 * time.Second
	// maxStreams bounds the connections of one transfer.
	maxStreams = 1024
)

// BulkOptions configure Bulk.
type BulkOptions struct {
	Dialer
	Target    netip.AddrPort // a bulk server, or a frontend of bulk servers
	Direction Direction
	// Bytes and Duration limit the transfer, per sender: Bytes is the total of all streams. At least one must be given;
	// whichever is reached first ends it.
	Bytes    int64
	Duration time.Duration
	// Streams is the number of parallel connections (default 1).
	Streams int
	// CongestionControl is set on the sockets of both ends; empty leaves that of the routes.
	CongestionControl string
	// Timeout is for connecting and for the server's answer (default 5 s), Grace for the end of the transfer (default 90 s).
	Timeout time.Duration
	Grace   time.Duration
}

// Bulk transfers bytes as fast as the path carries them, and ends by itself. If it can't begin, because of the options
// or because a connection fails, the report is nil. An error with a report means that a stream broke or that its end did
// not arrive in time: the report then has what is known.
func Bulk(ctx context.Context, o BulkOptions) (*BulkReport, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.setDefaults()
	conns, err := o.dialAll(ctx)
	defer func() {
		for _, conn := range conns {
			if conn != nil {
				closeAll(conn)
			}
		}
	}()
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", o.Target, err)
	}
	began := time.Now()
	streams := make([]Stream, o.Streams)
	errs := make([]error, o.Streams)
	var group errgroup.Group
	for i, conn := range conns {
		group.Go(func() error {
			if errs[i] = o.stream(ctx, conn, o.request(i), began, &streams[i]); errs[i] != nil {
				streams[i].Error = errs[i].Error()
				errs[i] = fmt.Errorf("stream %d of %d: %w", i+1, o.Streams, errs[i])
			}
			return nil
		})
	}
	_ = group.Wait() // errs has the errors
	err = errors.Join(errs...)
	for _, stream := range streams {
		if stream.Client != nil {
			return newBulkReport(&o, began, streams), err
		}
	}
	return nil, err
}

// Validate returns every error in the options, joined. Bulk calls it.
func (o *BulkOptions) Validate() error {
	errs := []error{ValidateTarget(o.Target), o.ValidateSource(o.Target)}
	errs = append(errs, bulkRequest{Direction: o.Direction, Bytes: o.Bytes, Seconds: o.Duration.Seconds()}.validate())
	if o.Streams < 0 || o.Streams > maxStreams {
		errs = append(errs, fmt.Errorf("streams: found %d (want 1 to %d)", o.Streams, maxStreams))
	}
	if o.Bytes > 0 && o.Bytes < int64(o.Streams) {
		errs = append(errs, fmt.Errorf("bytes: found %d (want at least 1 for each of %d streams)", o.Bytes, o.Streams))
	}
	if o.Streams > 1 && o.Source.Port() != 0 {
		errs = append(errs, fmt.Errorf("source port: found %d (want none for %d streams, which can't share it)", o.Source.Port(), o.Streams))
	}
	if o.Timeout < 0 || o.Grace < 0 {
		errs = append(errs, fmt.Errorf("timeout, grace: found %s, %s (want 0 or more)", o.Timeout, o.Grace))
	}
	return errors.Join(errs...)
}

func (o *BulkOptions) setDefaults() {
	if o.Streams == 0 {
		o.Streams = 1
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
}

// request returns the request of stream i. The bytes are split as evenly as possible.
func (o *BulkOptions) request(i int) bulkRequest {
	r := bulkRequest{Direction: o.Direction, Seconds: o.Duration.Seconds(), CongestionControl: o.CongestionControl}
	if o.Bytes > 0 {
		n := int64(o.Streams)
		r.Bytes = o.Bytes / n
		if int64(i) < o.Bytes%n {
			r.Bytes++
		}
	}
	return r
}

// dialAll opens all connections before the first byte moves.
func (o *BulkOptions) dialAll(ctx context.Context) ([]*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	var control func(fd int) error
	if o.CongestionControl != "" {
		control = func(fd int) error { return setCongestionControl(fd, o.CongestionControl) }
	}
	conns := make([]*net.TCPConn, o.Streams)
	group, ctx := errgroup.WithContext(ctx)
	for i := range conns {
		group.Go(func() error {
			conn, err := o.Dial(ctx, "tcp", o.Target, control)
			if err == nil {
				conns[i] = conn.(*net.TCPConn)
			}
			return err
		})
	}
	return conns, group.Wait()
}

// stream performs the transfer of one connection.
func (o *BulkOptions) stream(ctx context.Context, conn *net.TCPConn, r bulkRequest, began time.Time, stream *Stream) error {
	if err := o.ask(ctx, conn, r); err != nil {
		return err
	}
	end, err := newSession(conn, r, r.Direction.clientSends(), r.Direction.serverSends(), o.Grace)
	if err != nil {
		return err
	}
	stream.Begin = time.Since(began)
	stream.Client, stream.Server, err = end.run(ctx)
	return err
}

// ask sends the request and reads the answer.
func (o *BulkOptions) ask(ctx context.Context, conn *net.TCPConn, r bulkRequest) error {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	defer Interruptible(ctx, conn)()
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	if _, err := conn.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	var answer bulkAnswer
	if err := readJSONFrame(conn, frameAnswer, &answer); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if answer.Error != "" {
		return fmt.Errorf("server: %s", answer.Error)
	}
	return nil
}
