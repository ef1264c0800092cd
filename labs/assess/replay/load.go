package replay

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dsrlab/dsrlab/labs/workload"
)

// A request begins with its own size, that of its reply, and in how many parts that is written, 4 bytes each.
const headerSize = 12

const (
	// maxInFlight is how many requests are in flight at the same time, and minInFlightPerPort how many for each port that is filled.
	maxInFlight, minInFlightPerPort = 512, 2
	// maxQueued is how many of them wait in the ports' queues at most.
	maxQueued = 128
	// portQueue is about what the queue of a port holds, in bytes: more than that in flight would only be dropped.
	portQueue = 192 << 10
	// requestTimeout is how long a request may take, and maxFilling how long ports are filled.
	requestTimeout, maxFilling = 30 * time.Second, 30 * time.Second
	// partGap is the time between the parts of a reply: as tokens are sent, else TCP puts them into one packet.
	partGap = time.Millisecond
)

// request is what is sent and answered: a profile's, in whole bytes, and with the average of parts.
type request struct {
	size, reply int
	parts       float64
}

// partsOf is in how many parts the reply to the i-th request is sent, of all that are sent.
func (r request) partsOf(i int64) int {
	return max(int(math.Floor(float64(i)*r.parts)-math.Floor(float64(i-1)*r.parts)), 1)
}

// serve answers requests until the listener is closed.
func serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			reader := bufio.NewReader(conn)
			for answer(reader, conn) == nil {
			}
		}()
	}
}

// answer reads one request, and writes its reply.
func answer(r *bufio.Reader, w io.Writer) error {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return err
	}
	size, reply, parts := int(binary.BigEndian.Uint32(header[:])), int(binary.BigEndian.Uint32(header[4:])), int(binary.BigEndian.Uint32(header[8:]))
	if _, err := r.Discard(max(size-headerSize, 0)); err != nil {
		return err
	}
	buffer := make([]byte, min(reply, 64<<10))
	for part := range parts {
		for left := reply*(part+1)/parts - reply*part/parts; left > 0; {
			n, err := w.Write(buffer[:min(left, len(buffer))])
			if err != nil {
				return err
			}
			left -= n
		}
		if part+1 < parts {
			time.Sleep(partGap)
		}
	}
	return nil
}

// pair is where a request enters, and who answers it: the target leads to no other pod.
type pair struct {
	target netip.AddrPort
	share  float64
}

// load sends requests to pairs over connections that are kept.
type load struct {
	dialer workload.Dialer
	pairs  []pair
	request

	sent atomic.Int64 // how many requests
	mu   sync.Mutex
	idle map[int][]net.Conn // by pair
}

// close closes all connections; no request may be in progress.
func (l *load) close() {
	for _, conns := range l.idle {
		for _, conn := range conns {
			_ = conn.Close() // nothing is left to be written
		}
	}
}

// sequence is in which order pairs get n requests: each as many as its share says, one more or less, and evenly spread.
func (l *load) sequence(n int) []int {
	got := make([]float64, len(l.pairs))
	all := make([]int, n)
	for i := range all {
		next := 0
		for k := range l.pairs {
			if l.pairs[k].share*float64(i+1)-got[k] > l.pairs[next].share*float64(i+1)-got[next] {
				next = k
			}
		}
		got[next]++
		all[i] = next
	}
	return all
}

// warm opens a connection of each pair, by a request that takes next to no time.
func (l *load) warm(ctx context.Context) error {
	for k := range l.pairs {
		if err := l.send(ctx, k, request{size: headerSize, reply: 1}); err != nil {
			return err
		}
	}
	return nil
}

// paced sends n requests, rate of them each second, and waits for all replies.
func (l *load) paced(ctx context.Context, n int, rate float64) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxInFlight)
	began := time.Now()
	for i, k := range l.sequence(n) {
		due := began.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		select {
		case <-time.After(time.Until(due)):
		case <-ctx.Done():
			cause := context.Cause(ctx) // also that a request has failed
			_ = group.Wait()            // all else comes of it
			return cause
		}
		group.Go(func() error { return l.one(ctx, k) })
	}
	return group.Wait()
}

// filling is how ports are filled: with how many requests in flight, and for how long answers do not count, and count.
type filling struct {
	inFlight    int
	warm, count time.Duration
}

// fill plans how to fill some ports, of which the first is full at limit requests each second, for as long as count and as several replies
// take. It reports false if that takes too many requests in flight, or too long.
func (r request) fill(ports int, limit float64, count time.Duration) (filling, bool) {
	const spare = 1.1 // as timers are late
	reply := time.Duration(spare * max(r.parts-1, 0) * float64(partGap))
	perPort := max(portQueue/max(r.size, r.reply), minInFlightPerPort)
	queued := min(max(ports, 1)*min(perPort, maxQueued), maxQueued)
	f := filling{
		inFlight: queued + int(math.Ceil(limit*reply.Seconds())), // those in queues, and those whose next part is not due
		warm:     max(count/2, 2*reply), count: max(count, 4*reply),
	}
	return f, f.inFlight <= maxInFlight && f.warm+f.count <= maxFilling
}

// filled keeps requests in flight for some time, and returns how many were answered each second. As every answer makes room for the next
// request, whoever it is for, the pairs keep their shares: the slowest port holds up all.
func (l *load) filled(ctx context.Context, f filling) (float64, error) {
	order := l.sequence(int(math.Ceil(1000/float64(len(l.pairs)))) * len(l.pairs))
	began := time.Now()
	from, until := began.Add(f.warm), began.Add(f.warm+f.count)
	var next, answered atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range f.inFlight {
		group.Go(func() error {
			for time.Now().Before(until) {
				if err := l.one(ctx, order[int(next.Add(1)-1)%len(order)]); err != nil {
					return err
				}
				if now := time.Now(); now.After(from) && now.Before(until) {
					answered.Add(1)
				}
			}
			return nil
		})
	}
	err := group.Wait()
	return float64(answered.Load()) / f.count.Seconds(), err
}

// one sends a request of the load, and reads its reply.
func (l *load) one(ctx context.Context, k int) error { return l.send(ctx, k, l.request) }

func (l *load) send(ctx context.Context, k int, r request) error {
	conn, err := l.take(ctx, k)
	if err == nil {
		bounded, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		release := workload.Interruptible(bounded, conn)
		if err = l.exchange(conn, r); err != nil {
			_ = conn.Close()
		}
		release()
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause // all else comes of it
	}
	if err != nil {
		return fmt.Errorf("call %v: %w", l.pairs[k].target, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle[k] = append(l.idle[k], conn)
	return nil
}

// take returns a connection of a pair that is idle, or a new one.
func (l *load) take(ctx context.Context, k int) (net.Conn, error) {
	l.mu.Lock()
	if all := l.idle[k]; len(all) > 0 {
		conn := all[len(all)-1]
		l.idle[k] = all[:len(all)-1]
		l.mu.Unlock()
		return conn, nil
	}
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return l.dialer.Dial(ctx, "tcp", l.pairs[k].target, nil)
}

func (l *load) exchange(conn net.Conn, r request) error {
	data := make([]byte, max(r.size, headerSize))
	binary.BigEndian.PutUint32(data, uint32(len(data)))
	binary.BigEndian.PutUint32(data[4:], uint32(r.reply))
	binary.BigEndian.PutUint32(data[8:], uint32(r.partsOf(l.sent.Add(1))))
	if _, err := conn.Write(data); err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	if n, err := io.CopyN(io.Discard, conn, int64(r.reply)); err != nil {
		return fmt.Errorf("read reply: %w after %d of %d bytes", err, n, r.reply)
	}
	return nil
}
