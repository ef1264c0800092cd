package workload

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

const (
	// silence is how long the echo server waits for a client's first line before it answers anyway.
	silence = 2 * time.Second
	// maxFirstLine bounds the first line, which decides between HTTP and plain lines.
	maxFirstLine = 8 << 10
)

// detailLine is a first line that asks for EchoSeen as JSON in place of the client's ADDR:PORT.
const detailLine = "who am i, in detail\n"

// Echo answers clients with the address that it sees, on TCP and UDP of one port.
//
// TCP: when the first line is an HTTP/1 request line, the connection is an HTTP connection (echo_http.go). Else the
// first line is answered with the client's ADDR:PORT, or with EchoSeen as a line of JSON if it is "who am i, in detail",
// and every line after it with itself. A client that sends nothing for silence gets the address too, and all that it
// sends later is echoed.
// UDP: each datagram is answered with a line ADDR:PORT and the datagram's bytes (echo_udp.go).
type Echo struct {
	tcp     *net.TCPListener
	udp     *net.UDPConn
	info    packetInfo
	proxy   proxyproto.Policy
	log     *slog.Logger
	silence time.Duration
	record  echoRecord
}

// EchoOptions configure an Echo.
type EchoOptions struct {
	// Listen is as in ServerSpec.
	Listen netip.AddrPort
	// ProxyProtocol reports whether TCP connections begin with a PROXY header. A server that does not know of the protocol
	// takes a header for its client's first line, and reports it as garbage.
	ProxyProtocol proxyproto.Policy
}

// OpenEcho opens the sockets of an echo server, which must be served, by Run, or closed. The log is as in Start, with
// "refused" for each connection with an invalid PROXY header, and "garbage" for each header that was taken for
// input.
func OpenEcho(ctx context.Context, enter Enter, log *slog.Logger, o EchoOptions) (*Echo, error) {
	s, err := openEcho(ctx, enter, log, o)
	if err != nil {
		return nil, fmt.Errorf("start %s server: %w", KindEcho, err)
	}
	return s, nil
}

func openEcho(ctx context.Context, enter Enter, log *slog.Logger, o EchoOptions) (*Echo, error) {
	if err := o.ProxyProtocol.Validate(); err != nil {
		return nil, err
	}
	tcp, udp, err := listenBoth(ctx, enter, o.Listen)
	if err != nil {
		return nil, err
	}
	s := &Echo{tcp: tcp, udp: udp, proxy: o.ProxyProtocol, log: log, silence: silence}
	if log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.info, err = enablePacketInfo(udp); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Listening implements Server.
func (s *Echo) Listening() Listening {
	return Listening{Kind: KindEcho, Address: AddrPortOf(s.tcp.Addr())}
}

// Close implements Server.
func (s *Echo) Close() {
	closeAll(s.tcp, s.udp)
}

// Report returns what the server has seen so far.
func (s *Echo) Report() EchoReport { return s.record.report() }

// Serve implements Server.
func (s *Echo) Serve(ctx context.Context) error {
	web := newHandover(s.tcp.Addr(), &httpEcho{log: s.log, record: &s.record}, s.log)
	var parts sync.WaitGroup
	errs := make([]error, 3)
	parts.Go(func() { errs[0] = web.serve() })
	parts.Go(func() { errs[1] = s.serveUDP() })
	errs[2] = AcceptLoop(ctx, s.tcp, func(_ context.Context, conn *net.TCPConn) {
		known, err := Receive(conn, s.proxy)
		s.record.connection(err, known)
		if err != nil {
			s.log.Info("refused", "protocol", "tcp", "socket", AddrPortOf(conn.RemoteAddr()), "error", err.Error())
			closeAll(conn)
			return
		}
		s.handle(known, web)
	})
	web.close()
	s.Close()
	parts.Wait()
	return errors.Join(errs...)
}

// handle serves one TCP connection, or passes it to web.
func (s *Echo) handle(conn *PeerConn, web *handover) {
	log := s.log.With("protocol", "tcp", "seen", conn.Peer.Seen, "local", AddrPortOf(conn.LocalAddr()))
	if conn.Peer.ProxyHeader != nil {
		log = log.With("socket", conn.Peer.Socket)
	}
	// Setting a deadline fails on a closed socket only, and then the read fails too.
	_ = conn.SetReadDeadline(time.Now().Add(s.silence))
	line, err := firstLine(conn.reader)
	_ = conn.SetReadDeadline(time.Time{})
	if err == nil && isHTTP(line) {
		web.hand(conn)
		return
	}
	defer closeAll(conn)
	if garbage, found := garbageOf(conn); found {
		s.record.garbage(garbage)
		log.Warn("garbage", "version", int(garbage.Version), "input", garbage.Input)
	}
	answer := conn.Peer.Seen.String() + "\n"
	switch {
	case err == nil:
		log.Info("seen", "spoke", "line")
		if string(line) == detailLine {
			answer = detail(conn)
		}
		_, _ = conn.reader.Discard(len(line)) // it is buffered
	case errors.Is(err, os.ErrDeadlineExceeded):
		log.Info("seen", "spoke", "silence")
	case errors.Is(err, io.EOF), errors.Is(err, bufio.ErrBufferFull):
		log.Info("seen", "spoke", "bytes")
	default:
		log.Info("seen", "spoke", "nothing", "error", err.Error())
		return
	}
	if _, err := io.WriteString(conn, answer); err != nil {
		log.Info("lost", "error", err.Error())
		return
	}
	if _, err := io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{conn}); err != nil && !errors.Is(err, net.ErrClosed) {
		log.Info("lost", "error", err.Error())
	}
}

// firstLine returns the first line with its newline, left in the reader's buffer. With an error it returns what has arrived.
func firstLine(reader *bufio.Reader) ([]byte, error) {
	for {
		have, _ := reader.Peek(reader.Buffered()) // a PROXY header may have been read before, and more with it
		if end := bytes.IndexByte(have, '\n'); end >= 0 {
			return have[:end+1], nil
		}
		if _, err := reader.Peek(len(have) + 1); err != nil {
			return have, err
		}
	}
}

// isHTTP reports whether line is an HTTP/1 request line (RFC 9112 section 3).
func isHTTP(line []byte) bool {
	fields := bytes.Fields(line)
	return len(fields) == 3 && bytes.HasPrefix(fields[2], []byte("HTTP/1."))
}
