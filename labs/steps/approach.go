package steps

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/l7proxy"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
	"github.com/dsrlab/dsrlab/labs/workload/tcpproxy"
)

// Approach is a way of preserving the client's address for a pod (slides 12 and 21).
type Approach string

const (
	ApproachDirect  Approach = "direct"          // by the packets themselves
	ApproachHeader  Approach = "x-forwarded-for" // an HTTP proxy in front adds a header
	ApproachProxied Approach = "proxy-protocol"  // a TCP proxy in front sends a header before the stream
)

// entrances are where clients call the service: for each node, for an application that knows nothing of the approach
// (plain) and for one that does (parsing).
type entrances struct {
	plain, parsing map[string]netip.AddrPort
	servers        *workload.Servers // what was opened for them
}

func (e *entrances) close() error {
	if e.servers == nil {
		return nil
	}
	return e.servers.Close()
}

// enter opens what the approach needs: a proxy for each node, and the applications that parse its headers.
func (s *TableStep) enter(ctx context.Context, t *trial.Attempt) (*entrances, error) {
	e := &entrances{plain: make(map[string]netip.AddrPort), parsing: make(map[string]netip.AddrPort)}
	var opened []workload.Server
	fail := func(err error) (*entrances, error) {
		for _, server := range opened {
			server.Close()
		}
		return nil, err
	}
	if s.Approach == ApproachProxied {
		for _, p := range t.Testbed.Plan().Pods {
			server, err := workload.OpenEcho(ctx, t.Testbed.Enter(p.Name), nil, workload.EchoOptions{
				Listen: netip.AddrPortFrom(p.Addresses[0], s.ParsingPort), ProxyProtocol: proxyproto.Policy{Require: true},
			})
			if err != nil {
				return fail(err)
			}
			opened = append(opened, server)
		}
	}
	for _, n := range t.Testbed.LBNodes() {
		for _, way := range []struct {
			port string
			to   map[string]netip.AddrPort
		}{{s.Port, e.plain}, {s.Parsing, e.parsing}} {
			upstream, err := t.Testbed.Target(testbed.Target{Service: s.Service, Port: way.port, Via: n.Name}, t.Variant)
			if err != nil {
				return fail(err)
			}
			server, err := s.openProxy(ctx, t, upstream)
			if err != nil {
				return fail(err)
			}
			way.to[n.Name] = upstream
			if server != nil {
				opened = append(opened, server)
				way.to[n.Name] = server.Listening().Address
			}
		}
	}
	if len(opened) > 0 {
		e.servers = workload.Run(ctx, opened...)
	}
	return e, nil
}

// openProxy opens the approach's proxy in front of an upstream; it returns nil for an approach without one.
func (s *TableStep) openProxy(ctx context.Context, t *trial.Attempt, upstream netip.AddrPort) (workload.Server, error) {
	if s.Approach == ApproachDirect {
		return nil, nil
	}
	at, err := t.Testbed.AddressOf(s.Proxy, upstream.Addr().Is4())
	if err != nil {
		return nil, err
	}
	dialer, listen := workload.Dialer{Enter: t.Testbed.Enter(s.Proxy)}, netip.AddrPortFrom(at, 0)
	if s.Approach == ApproachHeader {
		return l7proxy.Open(ctx, l7proxy.Options{Dialer: dialer, Listen: listen, Upstreams: []netip.AddrPort{upstream}})
	}
	return tcpproxy.Open(ctx, tcpproxy.Options{Dialer: dialer, Listen: listen, Upstreams: []netip.AddrPort{upstream}, Send: proxyproto.V2})
}

// perceivedClient returns the address that an application takes for the client of a response. One that reads X-Forwarded-For trusts the
// entry that the one proxy in front of it has appended.
func perceivedClient(r workload.Response, headers bool) netip.Addr {
	if !headers {
		return r.Seen.Addr()
	}
	header := make(http.Header)
	for line := range strings.Lines(r.Body) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			header.Add(name, value)
		}
	}
	return l7proxy.Trust{Hops: 1}.Client(header, r.Seen.Addr())
}

func (a Approach) validate() error {
	switch a {
	case ApproachDirect, ApproachHeader, ApproachProxied:
		return nil
	}
	return fmt.Errorf("approach: found %q (want direct, x-forwarded-for or proxy-protocol)", a)
}
