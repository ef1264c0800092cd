package workload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

const (
	// requestTimeout limits how long a client may take to send its request.
	requestTimeout = 10 * time.Second
	// serverGrace is how long after a transfer's time the server still waits for its end to reach the client: longer
	// than any client waits, so that the client decides.
	serverGrace = 2 * time.Minute
)

// bulkServer sends or receives bytes over TCP (bulk_protocol.go).
type bulkServer struct {
	tcp *net.TCPListener
	log *slog.Logger
}

func openBulk(ctx context.Context, enter Enter, log *slog.Logger, listen netip.AddrPort) (*bulkServer, error) {
	tcp, err := ListenTCP(ctx, enter, listen)
	if err != nil {
		return nil, err
	}
	return &bulkServer{tcp: tcp, log: log}, nil
}

func (s *bulkServer) Listening() Listening {
	return Listening{Kind: KindBulk, Address: AddrPortOf(s.tcp.Addr())}
}

func (s *bulkServer) Close() { closeAll(s.tcp) }

func (s *bulkServer) Serve(ctx context.Context) error {
	return AcceptLoop(ctx, s.tcp, func(ctx context.Context, conn *net.TCPConn) {
		defer closeAll(conn)
		log := s.log.With("protocol", "tcp", "seen", AddrPortOf(conn.RemoteAddr()), "local", AddrPortOf(conn.LocalAddr()))
		if err := s.transfer(ctx, log, conn); err != nil && ctx.Err() == nil {
			log.Warn("lost", "error", err.Error())
		}
	})
}

// transfer serves one connection.
func (s *bulkServer) transfer(ctx context.Context, log *slog.Logger, conn *net.TCPConn) error {
	if err := conn.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		return err
	}
	request, err := readRequest(conn)
	if errors.Is(err, io.EOF) {
		return err // a health check, or a client that gave up
	}
	if err == nil && request.CongestionControl != "" {
		err = setConnCongestionControl(conn, request.CongestionControl)
	}
	log.Info("seen", "direction", request.Direction, "bytes", request.Bytes, "seconds", request.Seconds)
	answer := bulkAnswer{}
	if err != nil {
		answer.Error = err.Error()
	}
	frame, frameErr := appendJSONFrame(nil, frameAnswer, answer)
	if frameErr != nil {
		return frameErr
	}
	if _, writeErr := conn.Write(frame); writeErr != nil {
		return fmt.Errorf("send answer: %w", writeErr)
	}
	if err != nil {
		return err
	}
	end, err := newSession(conn, request, request.Direction.serverSends(), request.Direction.clientSends(), serverGrace)
	if err != nil {
		return err
	}
	own, _, err := end.run(ctx)
	log.Info("transferred", "sent", own.Sent, "received", own.Received, "congestionControl", own.CongestionControl,
		"retransmits", own.last().Retransmits)
	return err
}

func setConnCongestionControl(conn *net.TCPConn, name string) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var optErr error
	if err := raw.Control(func(fd uintptr) { optErr = setCongestionControl(int(fd), name) }); err != nil {
		return err
	}
	return optErr
}
