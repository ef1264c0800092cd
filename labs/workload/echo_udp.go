package workload

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

const (
	// maxDatagram is the largest UDP payload over IPv4 (RFC 791, RFC 768: 65535 - 20 - 8).
	maxDatagram = 65507
	// ancillarySpace holds the control messages of one datagram.
	ancillarySpace = 128
)

// serveUDP answers datagrams until the socket is closed. An answer that does not fit into a datagram, because of the line
// that is added to the request, is truncated.
func (s *Echo) serveUDP() error {
	request, answer, oob := make([]byte, maxDatagram), make([]byte, 0, maxDatagram+64), make([]byte, ancillarySpace)
	for {
		n, noob, _, from, err := s.udp.ReadMsgUDPAddrPort(request, oob)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read datagram: %w", err)
		}
		seen := unmap(from)
		s.record.datagram()
		answer = seen.AppendTo(answer[:0])
		answer = append(answer, '\n')
		answer = append(answer, request[:n]...)
		if err := s.answerUDP(answer[:min(len(answer), maxDatagram)], oob[:noob], from); err != nil {
			s.log.Warn("lost", "protocol", "udp", "seen", seen, "error", err.Error())
		}
	}
}

// answerUDP sends an answer from the address that the request, whose ancillary data is oob, was sent to.
func (s *Echo) answerUDP(answer, oob []byte, to netip.AddrPort) error {
	local, ifindex, err := s.info.destination(oob)
	if err != nil {
		return err
	}
	s.log.Info("seen", "protocol", "udp", "seen", unmap(to), "local", local)
	if _, _, err := s.udp.WriteMsgUDPAddrPort(answer, s.info.source(local, ifindex), to); err != nil {
		return fmt.Errorf("send answer: %w", err)
	}
	return nil
}
