package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dsrlab/dsrlab/labs/names"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/l7proxy"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

// HeadersStep sends HTTP requests through one HTTP proxy or a chain of them, each of which appends to X-Forwarded-For and to
// Forwarded. An honest client sends none of these headers; a forging one writes another address into both. The step
// records what reached the application, and which address the application would take for the client.
// Samples, labelled with chain, the number of proxies: answered (ratio); of the answers to the honest client header_is_client
// and header_lists_hops (ratio, labelled with the header): the first proxy's entry is the client's address, and all proxies'
// entries are right; socket_is_proxy and socket_is_node (ratio): the socket's other end; believed_is_client and, of the forging
// client, believed_is_forged (ratio, labelled with client and trust). trust is none: the application believes the socket;
// all: the leftmost entry; hops-N: the last but N-1. raw_tcp_answered and udp_answered (ratio) are of what is not HTTP, sent to the
// same proxy.
type HeadersStep struct {
	From string `json:"from"`
	// Through are the nodes that proxies run on, in the order in which a request passes them.
	Through []string       `json:"through"`
	To      testbed.Target `json:"to"`
	// Count of requests of each client.
	Count int `json:"count"`
	// Forge is the address that a forging client claims.
	Forge string `json:"forge"`
	// Timeout of each (default 5s).
	Timeout Duration `json:"timeout,omitempty"`
}

// The headers that HTTP proxies append to.
const (
	headerXForwardedFor = "X-Forwarded-For"
	headerForwarded     = "Forwarded"
)

// sends implements proxied.
func (s *HeadersStep) sends() []proxyproto.Version { return []proxyproto.Version{proxyproto.None} }

func (s *HeadersStep) validate() []error {
	errs := append(checkCount(s.Count), checkForge(s.Forge)...)
	if len(s.Through) == 0 {
		errs = append(errs, errors.New("through: missing (want nodes)"))
	}
	return errs
}

func (s *HeadersStep) check(n *names.Names) []error {
	return append(n.Call(s.From, s.To), names.Each("through", "node", s.Through, n.Nodes)...)
}

func (s *HeadersStep) measures(*names.Names) []Measurement {
	chain := strconv.Itoa(len(s.Through))
	with := func(more map[string][]string) map[string][]string {
		labels := one("chain", chain)
		maps.Copy(labels, more)
		return labels
	}
	headers := []string{strings.ToLower(headerXForwardedFor), strings.ToLower(headerForwarded)}
	policies := slices.Sorted(maps.Keys(trusts(len(s.Through))))
	all := Measurements(with(nil), "answered", "socket_is_proxy", "socket_is_node", "raw_tcp_answered", "udp_answered")
	all = append(all, Measurements(with(map[string][]string{"header": headers}), "header_is_client", "header_lists_hops")...)
	all = append(all, Measurements(with(map[string][]string{"trust": policies, "client": {"honest", "forging"}}), "believed_is_client")...)
	return append(all, Measurements(with(map[string][]string{"trust": policies, "client": {"forging"}}), "believed_is_forged")...)
}

func (s *HeadersStep) run(ctx context.Context, t *trial.Attempt) error {
	upstream, err := t.Testbed.Target(s.To, t.Variant)
	if err != nil {
		return err
	}
	chain, running, err := chain(ctx, t, s.Through, upstream, proxyproto.None)
	if err != nil {
		return err
	}
	return errors.Join(s.measure(ctx, t, chain), running.Close(context.WithoutCancel(ctx)))
}

func (s *HeadersStep) measure(ctx context.Context, t *trial.Attempt, chain []netip.AddrPort) error {
	client, err := t.Testbed.AddressOf(s.From, true)
	if err != nil {
		return err
	}
	honest, err := s.get(ctx, t, chain[0], nil)
	if err != nil {
		return err
	}
	forging, err := s.get(ctx, t, chain[0], http.Header{headerXForwardedFor: {s.Forge}, headerForwarded: {"for=" + s.Forge}})
	if err != nil {
		return err
	}
	labels := map[string]string{"chain": strconv.Itoa(len(chain))}
	if err := t.Sample("answered", "ratio", ratio(len(honest)+len(forging), 2*s.Count), labels); err != nil {
		return err
	}
	return errors.Join(
		s.sampleHeaders(t, honest, client, chain),
		s.samplePerceived(t, honest, forging, client, len(chain)),
		s.sampleOthers(ctx, t, chain, labels),
	)
}

// get requests through a proxy, and returns what the application says that it got.
func (s *HeadersStep) get(ctx context.Context, t *trial.Attempt, proxy netip.AddrPort, header http.Header) ([]workload.HTTPSeen, error) {
	all := http.Header{"Accept": {"application/json"}}
	for name, values := range header {
		all[name] = values
	}
	report, err := workload.Get(ctx, workload.GetOptions{
		Dialer: t.Testbed.Dialer(s.From), URL: "http://" + proxy.String() + "/", Header: all, Count: s.Count,
		Timeout: time.Duration(s.Timeout),
	})
	if err != nil {
		return nil, err
	}
	var seen []workload.HTTPSeen
	for _, response := range report.Responses {
		if response.Outcome != workload.OutcomeOK || response.Status != http.StatusOK {
			continue
		}
		var one workload.HTTPSeen
		if err := json.Unmarshal([]byte(response.Body), &one); err != nil {
			return nil, fmt.Errorf("read answer through proxy %v: %w", proxy, err)
		}
		seen = append(seen, one)
	}
	return seen, nil
}

// sampleHeaders records what reached the application from an honest client.
func (s *HeadersStep) sampleHeaders(t *trial.Attempt, seen []workload.HTTPSeen, client netip.Addr, chain []netip.AddrPort) error {
	if len(seen) == 0 {
		return t.Evidence("no request through the proxies got an answer" + trial.DescribeLabels(t.StepLabels()))
	}
	hops := []string{client.String()}
	for _, p := range chain[:len(chain)-1] {
		hops = append(hops, p.Addr().String())
	}
	labels := map[string]string{"chain": strconv.Itoa(len(chain))}
	share := func(f func(workload.HTTPSeen) bool) float64 { return shareOf(seen, f) }
	last := chain[len(chain)-1].Addr()
	errs := []error{
		t.Sample("socket_is_proxy", "ratio", share(func(h workload.HTTPSeen) bool { return h.Socket.Addr() == last }), labels),
		t.Sample("socket_is_node", "ratio", share(func(h workload.HTTPSeen) bool { return isClusterNode(t, h.Socket.Addr()) }), labels),
	}
	for _, name := range []string{headerXForwardedFor, headerForwarded} {
		labels := map[string]string{"chain": strconv.Itoa(len(chain)), "header": strings.ToLower(name)}
		errs = append(errs,
			t.Sample("header_is_client", "ratio", share(func(h workload.HTTPSeen) bool {
				entries := entriesOf(h.Header, name)
				return len(entries) >= len(hops) && entries[len(entries)-len(hops)] == hops[0]
			}), labels),
			t.Sample("header_lists_hops", "ratio", share(func(h workload.HTTPSeen) bool { return slices.Equal(entriesOf(h.Header, name), hops) }), labels),
		)
	}
	return errors.Join(append(errs, t.Evidence(fmt.Sprintf("HTTP through %s (%s): client %v, socket %v, X-Forwarded-For %q, Forwarded %q",
		strings.Join(s.Through, " and "), t.Proxy, client, seen[0].Socket.Addr(), seen[0].XForwardedFor, seen[0].Forwarded)))...)
}

// entriesOf are the addresses that a forwarding header lists, as written.
func entriesOf(header http.Header, name string) []string {
	var all []string
	if name == headerForwarded {
		elements, err := l7proxy.ParseForwarded(header.Values(name))
		if err != nil {
			return nil
		}
		for _, e := range elements {
			all = append(all, e.For)
		}
		return all
	}
	for _, value := range header.Values(name) {
		for entry := range strings.SplitSeq(value, ",") {
			all = append(all, strings.TrimSpace(entry))
		}
	}
	return all
}

// trusts returns the application's possible trust policies, up to one hop more than there are proxies.
func trusts(proxies int) map[string]l7proxy.Trust {
	all := map[string]l7proxy.Trust{"none": {}, "all": {All: true}}
	for hops := 1; hops <= proxies+1; hops++ {
		all[fmt.Sprintf("hops-%d", hops)] = l7proxy.Trust{Hops: hops}
	}
	return all
}

// samplePerceived records which address the application would take for the client.
func (s *HeadersStep) samplePerceived(t *trial.Attempt, honest, forging []workload.HTTPSeen, client netip.Addr, proxies int) error {
	if len(honest) == 0 || len(forging) == 0 {
		return nil // answered says so
	}
	forged := netip.MustParseAddr(s.Forge)
	var errs []error
	for name, trust := range trusts(proxies) {
		is := func(who netip.Addr) func(workload.HTTPSeen) bool {
			return func(h workload.HTTPSeen) bool { return trust.Client(h.Header, h.Socket.Addr()) == who }
		}
		labels := func(sender string) map[string]string {
			return map[string]string{"chain": strconv.Itoa(proxies), "trust": name, "client": sender}
		}
		errs = append(errs,
			t.Sample("believed_is_client", "ratio", shareOf(honest, is(client)), labels("honest")),
			t.Sample("believed_is_client", "ratio", shareOf(forging, is(client)), labels("forging")),
			t.Sample("believed_is_forged", "ratio", shareOf(forging, is(forged)), labels("forging")),
		)
	}
	right := l7proxy.Trust{Hops: proxies}
	first := forging[0]
	return errors.Join(append(errs, t.Evidence(fmt.Sprintf("a client that forges %v arrives as %q: believed without trusted hops is %v, with %d is %v",
		forged, first.XForwardedFor, l7proxy.Trust{All: true}.Client(first.Header, first.Socket.Addr()), proxies, right.Client(first.Header, first.Socket.Addr()))))...)
}

// sampleOthers sends the first proxy traffic that is not HTTP.
func (s *HeadersStep) sampleOthers(ctx context.Context, t *trial.Attempt, chain []netip.AddrPort, labels map[string]string) error {
	for _, protocol := range []workload.Protocol{workload.TCP, workload.UDP} {
		report, err := workload.Connect(ctx, workload.ConnectOptions{
			Dialer: t.Testbed.Dialer(s.From), Protocol: protocol, Target: chain[0], Count: s.Count, Timeout: time.Duration(s.Timeout),
		})
		if err != nil {
			return err
		}
		metric := map[workload.Protocol]string{workload.TCP: "raw_tcp_answered", workload.UDP: "udp_answered"}[protocol]
		if err := errors.Join(
			t.Sample(metric, "ratio", ratio(report.Outcomes[workload.OutcomeOK], s.Count), labels),
			t.Evidence(fmt.Sprintf("%s that is not HTTP, to the proxy: %s", strings.ToUpper(string(protocol)), workload.Tally(report.Outcomes))),
		); err != nil {
			return err
		}
	}
	return nil
}

// shareOf returns the share of all elements for which a condition holds.
func shareOf[T any](all []T, holds func(T) bool) float64 {
	n := 0
	for _, one := range all {
		if holds(one) {
			n++
		}
	}
	return ratio(n, len(all))
}
