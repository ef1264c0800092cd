package download

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload"
)

// Defaults and limits of a load.
const (
	DefaultStall   = 10 * time.Second
	DefaultTimeout = 5 * time.Second
	// MaxCount bounds the parallel downloads.
	MaxCount = 4096
	// dialing bounds the connections that are set up in parallel: inside a namespace each takes a thread.
	dialing = 32
	// maxRecord bounds the downloads of a load.
	maxRecord = 1 << 17
)

// Options configure a Load.
type Options struct {
	// Dialer opens the clients' sockets.
	workload.Dialer
	// Target is a download server, or a frontend of download servers.
	Target netip.AddrPort
	// Count is the number of parallel downloads (default 1).
	Count int
	// Rate is that of each download, in bit/s of content, and Length how long each takes at that rate.
	Rate   float64
	Length time.Duration
	// Duration is how long Count downloads are kept running: one that ends is replaced as long as the time is
	// not over, and those that run then are waited for. With 0, each of the Count downloads runs once.
	Duration time.Duration
	// Stall is how long a download may receive nothing before it is given up (default 10 s).
	Stall time.Duration
	// Timeout is for setting up a connection (default 5 s).
	Timeout time.Duration
	// Seed determines the contents.
	Seed uint64
}

// Validate returns every error in the options, joined. Start calls it.
func (o *Options) Validate() error {
	errs := []error{workload.ValidateTarget(o.Target), o.ValidateSource(o.Target)}
	if o.Count < 0 || o.Count > MaxCount {
		errs = append(errs, fmt.Errorf("count: found %d (want 1 to %d)", o.Count, MaxCount))
	}
	if o.Source.Port() != 0 {
		errs = append(errs, fmt.Errorf("source port: found %d (want none for several downloads, which can't share it)", o.Source.Port()))
	}
	if o.Length <= 0 {
		errs = append(errs, fmt.Errorf("length: found %s (want more than 0)", o.Length))
	} else {
		errs = append(errs, o.request(0).validate())
	}
	if o.Duration < 0 || o.Stall < 0 || o.Timeout < 0 {
		errs = append(errs, fmt.Errorf("duration, stall, timeout: found %s, %s, %s (want 0 or more)", o.Duration, o.Stall, o.Timeout))
	}
	return errors.Join(errs...)
}

func (o *Options) setDefaults() {
	if o.Count == 0 {
		o.Count = 1
	}
	if o.Stall == 0 {
		o.Stall = DefaultStall
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
}

// request returns the request of the download with an index.
func (o *Options) request(index int) request {
	key := rand.New(rand.NewPCG(o.Seed, uint64(index))).Uint64()
	return request{Key: key, Bytes: int64(math.Ceil(o.Rate / 8 * o.Length.Seconds())), Rate: o.Rate}
}

// Load is a set of downloads in progress.
type Load struct {
	options Options
	began   time.Time
	stop    context.CancelFunc
	done    chan struct{}
	ready   chan struct{}
	waiting atomic.Int64 // how many of the first downloads have neither received a byte nor ended
	running atomic.Int64
	next    atomic.Int64
	last    atomic.Bool // no download is replaced any more
	dialing chan struct{}

	mu        sync.Mutex
	downloads []Download
}

// Start begins the downloads, which run until all are complete, ctx is done or Stop is called. An error means invalid options.
func Start(ctx context.Context, o Options) (*Load, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.setDefaults()
	ctx, stop := context.WithCancel(ctx)
	l := &Load{
		options: o, began: time.Now(), stop: stop, done: make(chan struct{}), ready: make(chan struct{}), dialing: make(chan struct{}, dialing),
	}
	l.waiting.Store(int64(o.Count))
	var slots sync.WaitGroup
	for i := range o.Count {
		slots.Go(func() { l.slot(ctx, i) })
	}
	go func() {
		slots.Wait()
		stop()
		close(l.done)
	}()
	return l, nil
}

// Run calls Start and Wait.
func Run(ctx context.Context, o Options) (*Report, error) {
	l, err := Start(ctx, o)
	if err != nil {
		return nil, err
	}
	report := l.Wait()
	if err := ctx.Err(); err != nil {
		return report, fmt.Errorf("download from %s: %w", o.Target, err)
	}
	return report, nil
}

// Ready is closed when each of the first Count downloads has received its first byte, or has ended without.
func (l *Load) Ready() <-chan struct{} { return l.ready }

// Running returns how many downloads have received a byte and have not ended.
func (l *Load) Running() int { return int(l.running.Load()) }

// Last lets no download be replaced from now on, as at the end of the options' Duration.
func (l *Load) Last() { l.last.Store(true) }

// Stop ends the downloads. Wait still returns the report.
func (l *Load) Stop() { l.stop() }

// Wait waits until all downloads have ended.
func (l *Load) Wait() *Report {
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	return newReport(&l.options, l.began, l.downloads)
}

// slot runs one download after the other.
func (l *Load) slot(ctx context.Context, slot int) {
	// Stagger them: else the server would send to all of them at the same moments.
	err := wait(ctx, pace*time.Duration(slot)/time.Duration(l.options.Count))
	first := sync.OnceFunc(func() {
		if l.waiting.Add(-1) == 0 {
			close(l.ready)
		}
	})
	for again := true; again && err == nil; {
		index := int(l.next.Add(1) - 1)
		d := l.download(ctx, index, first)
		d.Slot = slot
		l.mu.Lock()
		l.downloads = append(l.downloads, d)
		l.mu.Unlock()
		again = ctx.Err() == nil && !l.last.Load() && time.Since(l.began) < l.options.Duration && index < maxRecord
		if again && d.Bytes == 0 {
			err = wait(ctx, pace) // don't retry at once after a refusal
		}
	}
	first()
}

// download performs one download; first is called at its first byte and at its end.
func (l *Load) download(ctx context.Context, index int, first func()) Download {
	defer first()
	r := l.options.request(index)
	d := Download{Index: index, Began: time.Since(l.began), Want: r.Bytes}
	err := l.receive(ctx, r, &d, first)
	d.Ended = time.Since(l.began)
	d.End = endOf(ctx, err)
	if err != nil {
		d.Error = err.Error()
	}
	return d
}

func (l *Load) receive(ctx context.Context, r request, d *Download, first func()) error {
	conn, err := l.dial(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	d.Local = workload.AddrPortOf(conn.LocalAddr())
	d.Connected = time.Since(l.began)
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	if _, err := conn.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	last := d.Connected
	got := false
	defer func() {
		if got {
			l.running.Add(-1)
		}
	}()
	buffer := make([]byte, 16<<10)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(l.options.Stall)) // on a closed connection the read fails
		n, err := conn.Read(buffer)
		now := time.Since(l.began)
		if gap := now - last; gap > d.LongestGap {
			d.LongestGap, d.LongestGapBegan = gap, last
		}
		if n > 0 && !got {
			got = true
			l.running.Add(1)
			first()
		}
		if n > 0 {
			last = now
			if err := d.take(r, buffer[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF) && d.Bytes == d.Want:
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("after %d of %d bytes: %w", d.Bytes, d.Want, workload.ErrEnded)
		case err != nil:
			return fmt.Errorf("after %d of %d bytes: %w", d.Bytes, d.Want, err)
		}
	}
}

// take checks received content.
func (d *Download) take(r request, b []byte) error {
	if d.Bytes+int64(len(b)) > d.Want {
		return fmt.Errorf("%w: found more than the %d bytes that were requested", errCorrupt, d.Want)
	}
	if err := (content{r.Key}).check(b, d.Bytes); err != nil {
		return fmt.Errorf("%w: %w", errCorrupt, err)
	}
	d.Bytes += int64(len(b))
	return nil
}

func (l *Load) dial(ctx context.Context) (net.Conn, error) {
	select {
	case l.dialing <- struct{}{}:
		defer func() { <-l.dialing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, l.options.Timeout)
	defer cancel()
	return l.options.Dial(ctx, "tcp", l.options.Target, nil)
}

// errCorrupt reports that a download received something that is not its content.
var errCorrupt = errors.New("corrupt")

// endOf classifies an error.
func endOf(ctx context.Context, err error) End {
	var op *net.OpError
	dial := errors.As(err, &op) && op.Op == "dial"
	switch {
	case err == nil:
		return Completed
	case errors.Is(err, errCorrupt):
		return Corrupt
	case ctx.Err() != nil:
		return Stopped
	case errors.Is(err, os.ErrDeadlineExceeded) && !dial:
		return Stalled
	}
	switch workload.OutcomeOf(err) {
	case workload.OutcomeReset:
		return Reset
	case workload.OutcomeRefused:
		return Refused
	case workload.OutcomeTimeout:
		return Timeout
	}
	return Failed
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
