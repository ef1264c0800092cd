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
)

const (
	// silence is how long the echo server waits for a client's first line before it says who it saw anyway.
	silence = 2 * time.Second
	// maxFirstLine bounds the first line, which decides between HTTP and plain lines.
	maxFirstLine = 8 << 10
)

// echoServer says who it saw, on TCP and UDP of one port.
//
// TCP: when the first line is an HTTP/1 request line, the connection is an HTTP connection (echo_http.go). Else the
// first line is answered with the client's ADDR:PORT, and every line after it with itself. A client that sends nothing
// for silence gets the address too, and all that it sends later is echoed.
// UDP: each datagram is answered with a line ADDR:PORT and the datagram's bytes (echo_udp.go).
type echoServer struct {
	tcp     *net.TCPListener
	udp     *net.UDPConn
	info    packetInfo
	log     *slog.Logger
	silence time.Duration
}

func openEcho(ctx context.Context, enter Enter, log *slog.Logger, listen netip.AddrPort) (*echoServer, error) {
	tcp, udp, err := listenBoth(ctx, enter, listen)
	if err != nil {
		return nil, err
	}
	s := &echoServer{tcp: tcp, udp: udp, log: log, silence: silence}
	if s.info, err = enablePacketInfo(udp); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *echoServer) listening() Listening {
	return Listening{Kind: KindEcho, Address: localOf(s.tcp.Addr())}
}

func (s *echoServer) close() {
	closeAll(s.tcp, s.udp)
}

func (s *echoServer) serve(ctx context.Context) error {
	web := newHTTPEcho(s.tcp.Addr(), s.log)
	var parts sync.WaitGroup
	errs := make([]error, 3)
	parts.Go(func() { errs[0] = web.serve() })
	parts.Go(func() { errs[1] = s.serveUDP() })
	errs[2] = acceptLoop(ctx, s.tcp, func(_ context.Context, conn *net.TCPConn) { s.handle(conn, web) })
	web.close()
	s.close()
	parts.Wait()
	return errors.Join(errs...)
}

// handle serves one TCP connection, or hands it to web.
func (s *echoServer) handle(conn *net.TCPConn, web *httpEcho) {
	seen, local := localOf(conn.RemoteAddr()), localOf(conn.LocalAddr())
	log := s.log.With("protocol", "tcp", "seen", seen, "local", local)
	reader := bufio.NewReaderSize(conn, maxFirstLine)
	// A deadline can't be refused by an open socket; on a closed one the read says so.
	_ = conn.SetReadDeadline(time.Now().Add(s.silence))
	line, err := firstLine(reader)
	_ = conn.SetReadDeadline(time.Time{})
	if err == nil && isHTTP(line) {
		web.hand(&bufferedConn{Conn: conn, reader: reader})
		return
	}
	defer closeAll(conn)
	switch {
	case err == nil:
		log.Info("seen", "spoke", "line")
		_, _ = reader.Discard(len(line)) // it is buffered
	case errors.Is(err, os.ErrDeadlineExceeded):
		log.Info("seen", "spoke", "silence")
	case errors.Is(err, io.EOF), errors.Is(err, bufio.ErrBufferFull):
		log.Info("seen", "spoke", "bytes")
	default:
		log.Info("seen", "spoke", "nothing", "error", err.Error())
		return
	}
	if _, err := fmt.Fprintf(conn, "%s\n", seen); err != nil {
		log.Info("lost", "error", err.Error())
		return
	}
	if _, err := io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{reader}); err != nil && !errors.Is(err, net.ErrClosed) {
		log.Info("lost", "error", err.Error())
	}
}

// firstLine returns the first line with its newline, left in the reader's buffer. With an error it returns what there is.
func firstLine(reader *bufio.Reader) ([]byte, error) {
	for {
		have, err := reader.Peek(reader.Buffered() + 1)
		if err == nil {
			have, _ = reader.Peek(reader.Buffered())
		}
		if end := bytes.IndexByte(have, '\n'); end >= 0 {
			return have[:end+1], nil
		}
		if err != nil {
			return have, err
		}
	}
}

// isHTTP tells whether line is an HTTP/1 request line (RFC 9112 section 3).
func isHTTP(line []byte) bool {
	fields := bytes.Fields(line)
	return len(fields) == 3 && bytes.HasPrefix(fields[2], []byte("HTTP/1."))
}

// bufferedConn is a connection whose first bytes have been read into reader already.
type bufferedConn struct {
	net.Conn
	reader *bufio.Reader
}

func (c *bufferedConn) Read(b []byte) (int, error) { return c.reader.Read(b) }
