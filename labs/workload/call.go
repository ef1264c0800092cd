package workload

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

// callTCP opens a connection, sends a line, and reads the echo server's answer line.
func (o *ConnectOptions) callTCP(ctx context.Context, seen *Seen) error {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	began := time.Now()
	conn, err := o.Dial(ctx, "tcp", o.Target, nil)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer closeAll(conn)
	seen.Handshake = time.Since(began)
	seen.Local = AddrPortOf(conn.LocalAddr())
	defer Interruptible(ctx, conn)()

	sent := time.Now()
	request, err := o.line(seen.Local)
	if err != nil {
		return err
	}
	if _, err := conn.Write(request); err != nil {
		return fmt.Errorf("send line: %w", err)
	}
	reader := bufio.NewReader(io.LimitReader(conn, int64(maxFirstLine+o.Data)))
	line, err := reader.ReadString('\n')
	seen.RTT = time.Since(sent)
	if errors.Is(err, io.EOF) {
		err = ErrEnded
	}
	if err != nil {
		seen.RTT = 0
		return fmt.Errorf("read answer: %w", err)
	}
	if err := o.exchange(conn, reader); err != nil {
		seen.RTT = 0
		return err
	}
	if o.Detail {
		return seen.parseDetail(line)
	}
	seen.Seen, err = parseSeen(line)
	return err
}

// exchange sends the options' data, and reads it back.
func (o *ConnectOptions) exchange(conn net.Conn, reader io.Reader) error {
	if o.Data == 0 {
		return nil
	}
	data, back := make([]byte, o.Data), make([]byte, o.Data)
	_, _ = rand.Read(data) // never fails
	if _, err := conn.Write(data); err != nil {
		return fmt.Errorf("send data: %w", err)
	}
	if n, err := io.ReadFull(reader, back); err != nil {
		return fmt.Errorf("read data back: %w after %d of %d bytes", err, n, o.Data)
	}
	if !bytes.Equal(data, back) {
		return errors.New("read data back: found other bytes than were sent")
	}
	return nil
}

// line returns what a TCP client sends: the PROXY header, if any, and the question, in one segment.
func (o *ConnectOptions) line(local netip.AddrPort) ([]byte, error) {
	question := "who am i\n"
	if o.Detail {
		question = detailLine
	}
	if o.ProxyHeader == nil {
		return []byte(question), nil
	}
	header := *o.ProxyHeader
	if header.Command == proxyproto.Proxy && !header.Source.IsValid() {
		header.Source = local
	}
	if header.Command == proxyproto.Proxy && !header.Destination.IsValid() {
		header.Destination = o.Target
	}
	b, err := header.Append(nil)
	return append(b, question...), err
}

// parseDetail parses the answer to detailLine. A plain address is the answer to another first line, one that
// was inserted before the client's between client and server.
func (s *Seen) parseDetail(line string) error {
	answer := EchoSeen{}
	if err := json.Unmarshal([]byte(line), &answer); err == nil {
		s.Seen, s.Socket, s.ProxyHeader, s.Server = answer.Seen, answer.Socket, answer.ProxyHeader, answer.Server
		return nil
	}
	seen, err := parseSeen(line)
	if err != nil {
		return err
	}
	s.Seen, s.Socket = seen, seen
	return fmt.Errorf("read answer: %w", ErrGarbled)
}

// callUDP sends a datagram, again if no answer arrives, and reads the answer. Each transmission has different bytes, so that
// the answer identifies its transmission (as RFC 6298 section 3 requires for the round-trip time).
func (o *ConnectOptions) callUDP(ctx context.Context, seen *Seen) error {
	conn, err := o.Dial(ctx, "udp", o.Target, nil)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	defer closeAll(conn)
	seen.Local = AddrPortOf(conn.LocalAddr())
	nonce := rand.Text()
	sent := make([]time.Time, 0, o.Retries+1)
	for {
		sent = append(sent, time.Now())
		if _, err := conn.Write(datagram(nonce, len(sent)-1)); err != nil {
			return fmt.Errorf("send datagram: %w", err)
		}
		attempt, err := o.awaitAnswer(ctx, conn, nonce, len(sent), seen)
		if err == nil {
			seen.RTT = time.Since(sent[attempt])
			return nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil || len(sent) > o.Retries {
			return err
		}
		seen.Retries++
	}
}

// awaitAnswer waits for the answer to one of the transmissions so far, and returns which.
func (o *ConnectOptions) awaitAnswer(ctx context.Context, conn net.Conn, nonce string, sendings int, seen *Seen) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	defer Interruptible(ctx, conn)()
	buffer := make([]byte, 2048)
	n, err := conn.Read(buffer)
	if err != nil {
		return 0, fmt.Errorf("read answer: %w", err)
	}
	line, rest, _ := bytes.Cut(buffer[:n], []byte("\n"))
	for attempt := range sendings {
		if bytes.Equal(rest, datagram(nonce, attempt)) {
			seen.Seen, err = parseSeen(string(line))
			return attempt, err
		}
	}
	return 0, fmt.Errorf("read answer: found %q (want an address line and the datagram's bytes)", buffer[:n])
}

func datagram(nonce string, attempt int) []byte {
	return fmt.Appendf(nil, "who am i %s %d\n", nonce, attempt)
}

func parseSeen(line string) (netip.AddrPort, error) {
	seen, err := netip.ParseAddrPort(strings.TrimRight(line, "\r\n"))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("read answer: found %q (want ADDR:PORT)", line)
	}
	return seen, nil
}

// Interruptible makes conn's reads and writes fail with os.ErrDeadlineExceeded once ctx is done, until the returned
// function is called.
func Interruptible(ctx context.Context, conn net.Conn) func() {
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline) // without a deadline the zero time; on a closed connection the next read fails
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0))
		close(interrupted)
	})
	return func() {
		if !stop() {
			<-interrupted // else it could interrupt the next use of the connection
		}
		_ = conn.SetDeadline(time.Time{})
	}
}

// ended returns ctx.Err(), except that it can't be late: a connection's deadline may be noticed before the context's, although
// they are equal.
func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}
