package steps

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/dsrlab/dsrlab/labs/names"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

// ProxyProtocolStep opens TCP connections through a proxy that sends a PROXY header before each stream, with version 1 and with
// version 2, to three applications in turn: plain does not know the protocol, parsing reads headers from any peer,
// and guarded reads them from the proxy's own address alone and refuses others. Then the client calls each application past the
// proxy, with a header that it has forged.
// Samples, labelled with version and application: answered (ratio): connections whose client got the right answer;
// garbled (ratio): those whose header the application took for input; refused (ratio): those that it refused; of the answered
// ones parsed_is_client, socket_is_proxy and socket_is_node (ratio); and believed_is_forged (ratio), of all forged connections.
type ProxyProtocolStep struct {
	From string `json:"from"`
	// Through is the node that the proxy runs on.
	Through string `json:"through"`
	// To is a port of a service that leads to Port in Pod, where the applications listen for the time of the step.
	To   testbed.Target `json:"to"`
	Pod  string         `json:"pod"`
	Port uint16         `json:"port"`
	// Count of connections of each kind.
	Count int `json:"count"`
	// Forge is the address that the client claims past the proxy.
	Forge string `json:"forge"`
	// Timeout of each (default 5s).
	Timeout Duration `json:"timeout,omitempty"`
}

// The applications behind the proxy.
const (
	applicationPlain   = "plain"
	applicationParsing = "parsing"
	applicationGuarded = "guarded"
)

// sends implements proxied.
func (s *ProxyProtocolStep) sends() []proxyproto.Version {
	return []proxyproto.Version{proxyproto.V1, proxyproto.V2}
}

func (s *ProxyProtocolStep) validate() []error {
	errs := append(checkCount(s.Count), checkForge(s.Forge)...)
	errs = append(errs, checkNode("through", s.Through)...)
	if s.Pod == "" || s.Port == 0 {
		errs = append(errs, errors.New("pod, port: missing (want where the applications listen)"))
	}
	return errs
}

func (s *ProxyProtocolStep) check(n *names.Names) []error {
	errs := append(n.Call(s.From, s.To), names.Optional("through", "node", s.Through, n.Nodes)...)
	return append(errs, names.Optional("pod", "pod", s.Pod, n.Pods)...)
}

func (s *ProxyProtocolStep) measures(*names.Names) []Measurement {
	var versions []string
	for _, v := range s.sends() {
		versions = append(versions, fmt.Sprintf("v%d", v))
	}
	applications := []string{applicationPlain, applicationParsing, applicationGuarded}
	return Measurements(map[string][]string{"version": versions, "application": applications},
		"answered", "garbled", "refused", "parsed_is_client", "socket_is_proxy", "socket_is_node", "believed_is_forged")
}

func (s *ProxyProtocolStep) run(ctx context.Context, t *trial.Attempt) error {
	upstream, err := t.Testbed.Target(s.To, t.Variant)
	if err != nil {
		return err
	}
	for _, version := range s.sends() {
		chain, running, err := chain(ctx, t, []string{s.Through}, upstream, version)
		if err != nil {
			return err
		}
		err = s.measure(ctx, t, version, chain[0], upstream)
		if err := errors.Join(err, running.Close(context.WithoutCancel(ctx))); err != nil {
			return err
		}
	}
	return nil
}

// measure calls all applications by way of the proxy and past it.
func (s *ProxyProtocolStep) measure(ctx context.Context, t *trial.Attempt, version proxyproto.Version, proxy, upstream netip.AddrPort) error {
	for _, application := range []string{applicationPlain, applicationParsing, applicationGuarded} {
		policy := proxyproto.Policy{Require: application != applicationPlain}
		if application == applicationGuarded {
			policy.From = []netip.Prefix{netip.PrefixFrom(proxy.Addr(), proxy.Addr().BitLen())}
		}
		report, echo, err := s.call(ctx, t, policy, proxy, nil)
		if err != nil {
			return err
		}
		labels := map[string]string{"version": fmt.Sprintf("v%d", version), "application": application}
		if err := s.sample(t, labels, report, echo, proxy.Addr()); err != nil {
			return err
		}
		header := &proxyproto.Header{
			Version: version, Command: proxyproto.Proxy, Source: netip.AddrPortFrom(netip.MustParseAddr(s.Forge), 4711), Destination: upstream,
		}
		if report, _, err = s.call(ctx, t, policy, upstream, header); err != nil {
			return err
		}
		if err := s.sampleForged(t, labels, report); err != nil {
			return err
		}
	}
	return nil
}

// call opens an application, calls it, and closes it.
func (s *ProxyProtocolStep) call(
	ctx context.Context, t *trial.Attempt, policy proxyproto.Policy, way netip.AddrPort, header *proxyproto.Header,
) (*workload.ConnectReport, workload.EchoReport, error) {
	at, err := t.Testbed.AddressOf(s.Pod, way.Addr().Is4())
	if err != nil {
		return nil, workload.EchoReport{}, err
	}
	application, err := workload.OpenEcho(ctx, t.Testbed.Enter(s.Pod), nil, workload.EchoOptions{
		Listen: netip.AddrPortFrom(at, s.Port), ProxyProtocol: policy,
	})
	if err != nil {
		return nil, workload.EchoReport{}, err
	}
	servers := workload.Run(ctx, application)
	report, err := workload.Connect(ctx, workload.ConnectOptions{
		Dialer: t.Testbed.Dialer(s.From), Protocol: workload.TCP, Target: way, Count: s.Count,
		Timeout: time.Duration(s.Timeout), Detail: true, ProxyHeader: header,
	})
	err = errors.Join(err, servers.Close())
	return report, application.Report(), err
}

// sample records the results of connections through the proxy.
func (s *ProxyProtocolStep) sample(
	t *trial.Attempt, labels map[string]string, report *workload.ConnectReport, application workload.EchoReport, proxy netip.Addr,
) error {
	refused := 0
	for _, n := range application.Refused {
		refused += n
	}
	answered := answeredOf(report)
	errs := []error{
		t.Sample("answered", "ratio", ratio(len(answered), s.Count), labels),
		t.Sample("garbled", "ratio", ratio(application.Garbled, s.Count), labels),
		t.Sample("refused", "ratio", ratio(refused, s.Count), labels),
	}
	told := fmt.Sprintf("%s %s application: ", labels["version"], labels["application"])
	switch {
	case len(answered) > 0:
		client := answered[0].Local.Addr()
		share := func(f func(workload.Seen) bool) float64 { return shareOf(answered, f) }
		errs = append(errs,
			t.Sample("parsed_is_client", "ratio", share(func(c workload.Seen) bool {
				return c.ProxyHeader != nil && c.ProxyHeader.Source.Addr() == client
			}), labels),
			t.Sample("socket_is_proxy", "ratio", share(func(c workload.Seen) bool { return c.Socket.Addr() == proxy }), labels),
			t.Sample("socket_is_node", "ratio", share(func(c workload.Seen) bool { return isClusterNode(t, c.Socket.Addr()) }), labels),
		)
		told += fmt.Sprintf("client %v, socket %v, header %v", client, answered[0].Socket.Addr(), answered[0].ProxyHeader)
	case len(application.Garbage) > 0:
		told += "takes the header for input: " + application.Garbage[0].Input
	default:
		told += fmt.Sprintf("refused: %s; clients saw: %s", workload.Tally(application.Refused), workload.Tally(report.Outcomes))
	}
	return errors.Join(append(errs, t.Evidence(told+" (proxy: "+string(t.Proxy)+")"))...)
}

// sampleForged records the results of connections past the proxy.
func (s *ProxyProtocolStep) sampleForged(t *trial.Attempt, labels map[string]string, report *workload.ConnectReport) error {
	forged := netip.MustParseAddr(s.Forge)
	believed := 0
	for _, c := range answeredOf(report) {
		if c.Seen.Addr() == forged {
			believed++
		}
	}
	return errors.Join(
		t.Sample("believed_is_forged", "ratio", ratio(believed, s.Count), labels),
		t.Evidence(fmt.Sprintf("%s %s application, past the proxy: %d of %d clients are taken for %v, whom they claim to be",
			labels["version"], labels["application"], believed, s.Count, forged)),
	)
}

// answeredOf returns the connections whose client got the right answer.
func answeredOf(report *workload.ConnectReport) []workload.Seen {
	var all []workload.Seen
	for _, c := range report.Connections {
		if c.Outcome == workload.OutcomeOK {
			all = append(all, c)
		}
	}
	return all
}
