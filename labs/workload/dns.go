package workload

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// Whoami is the only name that the DNS server knows: A or AAAA is the address of the client, TXT its ADDR:PORT.
const Whoami = "whoami."

// dnsServer answers DNS queries for Whoami over UDP and TCP, with TTL 0, and others with NXDOMAIN.
type dnsServer struct {
	tcp     *net.TCPListener
	udp     *net.UDPConn
	servers []*dns.Server
	log     *slog.Logger
}

func openDNS(ctx context.Context, enter Enter, log *slog.Logger, listen netip.AddrPort) (*dnsServer, error) {
	tcp, udp, err := listenBoth(ctx, enter, listen)
	if err != nil {
		return nil, err
	}
	s := &dnsServer{tcp: tcp, udp: udp, log: log}
	// The library answers from the address that a query was sent to (packet info), as the echo server does.
	s.servers = []*dns.Server{{Listener: tcp, Handler: s}, {PacketConn: udp, Handler: s}}
	return s, nil
}

func (s *dnsServer) Listening() Listening {
	return Listening{Kind: KindDNS, Address: AddrPortOf(s.tcp.Addr())}
}

func (s *dnsServer) Close() {
	for _, one := range s.servers {
		_ = one.Shutdown() // ends connections too; fails when it has not begun or has ended, and the sockets do the rest
	}
	closeAll(s.tcp, s.udp)
}

func (s *dnsServer) Serve(ctx context.Context) error {
	errs := make([]error, len(s.servers))
	var parts sync.WaitGroup
	for i, one := range s.servers {
		parts.Go(func() {
			errs[i] = one.ActivateAndServe()
			s.Close() // one without the other is not served
		})
	}
	parts.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(errs...)
}

// ServeDNS implements dns.Handler.
func (s *dnsServer) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	seen := AddrPortOf(w.RemoteAddr())
	answer := new(dns.Msg).SetReply(query)
	answer.Authoritative = true
	if len(query.Question) == 1 {
		question := query.Question[0]
		s.log.Info("seen", "protocol", w.RemoteAddr().Network(), "seen", seen,
			"name", question.Name, "type", dns.TypeToString[question.Qtype])
		answerWhoami(answer, question, seen)
	} else {
		answer.Rcode = dns.RcodeFormatError
	}
	if opt := query.IsEdns0(); opt != nil {
		answer.SetEdns0(1232, false) // RFC 6891: answer EDNS with EDNS
	}
	if err := w.WriteMsg(answer); err != nil {
		s.log.Warn("lost", "seen", seen, "error", err.Error())
	}
}

func answerWhoami(answer *dns.Msg, question dns.Question, seen netip.AddrPort) {
	if !strings.EqualFold(question.Name, Whoami) || question.Qclass != dns.ClassINET {
		answer.Rcode = dns.RcodeNameError
		return
	}
	header := dns.RR_Header{Name: question.Name, Rrtype: question.Qtype, Class: dns.ClassINET}
	ip := net.IP(seen.Addr().AsSlice())
	switch {
	case question.Qtype == dns.TypeA && seen.Addr().Is4():
		answer.Answer = append(answer.Answer, &dns.A{Hdr: header, A: ip})
	case question.Qtype == dns.TypeAAAA && seen.Addr().Is6():
		answer.Answer = append(answer.Answer, &dns.AAAA{Hdr: header, AAAA: ip})
	case question.Qtype == dns.TypeTXT:
		answer.Answer = append(answer.Answer, &dns.TXT{Hdr: header, Txt: []string{seen.String()}})
	}
}
