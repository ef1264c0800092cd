package labs

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/arrival"
	"github.com/dsrlab/dsrlab/topologies/manifest"
)

// measurement is a metric that a lab records, and the values that each of its labels may have. Expectations and exercises are checked
// against them before anything is built; a test holds recorded runs against them.
type measurement struct {
	metric string
	labels map[string][]string
}

// measurements are metrics with the same labels.
func measurements(labels map[string][]string, metrics ...string) []measurement {
	all := make([]measurement, len(metrics))
	for i, metric := range metrics {
		all[i] = measurement{metric, labels}
	}
	return all
}

// one is a label that has one value.
func one(key, value string) map[string][]string { return map[string][]string{key: {value}} }

func (s *ConnectStep) measures(*names) []measurement {
	all := []string{"connected", "source_preserved", "source_is_lb_node", "answer_p50", "answer_p99"}
	if s.Spread {
		all = append(all, "pods", "requests_cv")
	}
	return measurements(one("protocol", string(s.Protocol)), all...)
}

func (s *DiagnoseStep) measures(n *names) []measurement {
	return append(s.ConnectStep.measures(n), measurements(one("protocol", string(s.Protocol)), "answers_from_wrong_source", "spoof_drops")...)
}

func (s *TransferStep) measures(*names) []measurement {
	all := []string{"payload_rate", "retransmits", "retransmitted", "rtt", "lb_port_drops", "lb_port_use", "cpu_busy"}
	if s.Streams > 1 || s.StreamsPerPod > 0 {
		all = append(all, "payload_rate_together")
	}
	return measurements(nil, all...)
}

func (s *InferStep) measures(*names) []measurement {
	loop := arrival.Open
	if s.Rate == 0 {
		loop = arrival.Closed
	}
	all := []string{
		"requests_per_second", "payload_rate", "request_bytes", "response_bytes", "failures", "ttfb_share", "lb_bytes_per_byte",
		"lb_reply_bytes_per_byte", "received_per_sent",
	}
	times := []string{"ttfb", "completion"}
	if shape, err := s.shape(); err == nil && shape.Token > 0 {
		times = append(times, "tpot", "pace")
	}
	for _, time := range times {
		all = append(all, time+"_p50", time+"_p95", time+"_p99")
	}
	return measurements(map[string][]string{"shape": {s.Shape}, "loop": {string(loop)}}, all...)
}

func (s *HealthStep) measures(n *names) []measurement {
	return measurements(map[string][]string{"node": n.clusterNodes}, "health_status")
}

func (s *TraceStep) measures(*names) []measurement {
	return measurements(one("protocol", string(s.Protocol)), "traced_answered", "traced_hops", "traced_answer_at_lb")
}

func (s *LBListStep) measures(*names) []measurement {
	return measurements(nil, "listed_dsr", "listed_backends")
}

func (s *ObserveStep) measures(*names) []measurement {
	return measurements(nil, "observed_to_overlay")
}

func (s *TableStep) measures(n *names) []measurement {
	all := measurements(nil, "tcp_answered", "udp_answered", "plain_sees", "plain_works", "parsing_sees")
	all = append(all, measurements(map[string][]string{"node": n.lbNodes, "pods": {"all", "gone"}}, "served")...)
	columns := []string{columnHA, columnTCP, columnUDP, columnUnchanged, columnSource}
	return append(all, measurements(map[string][]string{"column": columns}, "cell")...)
}

func (s *EntryStep) measures(*names) []measurement {
	return measurements(nil, "connected", "lb_nodes_used", "least_share", "vip_next_hops")
}

func (s *WithdrawStep) measures(n *names) []measurement {
	all := append(measurements(nil, "withdrawn_after"), s.Entry.measures(n)...)
	for i := range all {
		all[i].labels = one("without", s.Node)
	}
	return all
}

func (s *HeadersStep) measures(*names) []measurement {
	chain := strconv.Itoa(len(s.Through))
	with := func(more map[string][]string) map[string][]string {
		labels := one("chain", chain)
		maps.Copy(labels, more)
		return labels
	}
	headers := []string{strings.ToLower(headerXForwardedFor), strings.ToLower(headerForwarded)}
	policies := slices.Sorted(maps.Keys(trusts(len(s.Through))))
	all := measurements(with(nil), "answered", "socket_is_proxy", "socket_is_node", "raw_tcp_answered", "udp_answered")
	all = append(all, measurements(with(map[string][]string{"header": headers}), "header_is_client", "header_lists_hops")...)
	all = append(all, measurements(with(map[string][]string{"trust": policies, "client": {"honest", "forging"}}), "believed_is_client")...)
	return append(all, measurements(with(map[string][]string{"trust": policies, "client": {"forging"}}), "believed_is_forged")...)
}

func (s *ProxyProtocolStep) measures(*names) []measurement {
	var versions []string
	for _, v := range s.sends() {
		versions = append(versions, fmt.Sprintf("v%d", v))
	}
	applications := []string{applicationPlain, applicationParsing, applicationGuarded}
	return measurements(map[string][]string{"version": versions, "application": applications},
		"answered", "garbled", "refused", "parsed_is_client", "socket_is_proxy", "socket_is_node", "believed_is_forged")
}

func (s *DownloadsStep) measures(*names) []measurement {
	var events []string
	for _, e := range s.Events {
		events = append(events, e.String())
	}
	return append(measurements(nil, "running", "completed"),
		measurements(map[string][]string{"event": events}, "survived", "lost", "longest_gap_p99")...)
}

func (s *ApplicationStep) measures(*names) []measurement {
	return measurements(nil, map[workload.Kind][]string{
		"ratelimit": {"innocent_served", "abusive_blocked"},
		"audit":     {"lines_right"},
		"geo":       {"regions_right", "regions_of_nodes"},
		"visitors":  {"visitors_true", "visitors_counted"},
		"callback":  {"reached"},
		"quota":     {"bills", "bills_right", "refused_within_quota"},
	}[s.App]...)
}

// measures returns what a variant's trials record.
func (l *Lab) measures(v testbed.Variant, n *names) []measurement {
	var all []measurement
	if len(l.Spec.Variants) > 0 && l.Spec.Variants[0].Name == v.Name {
		all = append(all, measurement{"link_calibration", map[string][]string{"link": n.nodes, "direction": nil}})
	}
	for i := range l.Spec.Phases {
		p := &l.Spec.Phases[i]
		if len(p.Variants) > 0 && !slices.Contains(p.Variants, v.Name) {
			continue
		}
		swept := p.Sweep.labels()
		all = append(all, measurement{"lb_port_bytes_reply", swept}) // of trial.metered
		if len(p.Capture) > 0 {
			all = append(all, measurements(swept, capturedMetrics()...)...)
		}
		for k := range p.Steps {
			step := &p.Steps[k]
			_, a, err := step.action()
			if err != nil || !step.takenBy(v) {
				continue
			}
			for _, m := range a.measures(n) {
				all = append(all, m.under(swept, step))
			}
		}
	}
	return all
}

// under adds the labels of a sweep and of the step. A step that withdraws a node has labels of its own in place of the step's.
func (m measurement) under(swept map[string][]string, step *Step) measurement {
	labels := maps.Clone(swept)
	if labels == nil {
		labels = make(map[string][]string)
	}
	if step.Withdraw == nil {
		for key, value := range step.Labels {
			labels[key] = []string{value}
		}
	}
	maps.Copy(labels, m.labels)
	return measurement{m.metric, labels}
}

// labels returns the labels that the sweep adds, and all their values.
func (s *Sweep) labels() map[string][]string {
	all := make(map[string][]string)
	for _, setting := range s.settings() {
		for key, value := range setting.labels {
			if !slices.Contains(all[key], value) {
				all[key] = append(all[key], value)
			}
		}
	}
	return all
}

// has reports whether the measurement is recorded under exactly these labels; the value of any may be whatever it is.
func (m measurement) has(labels map[string]string, anyValue string) bool {
	if len(labels) != len(m.labels) {
		return false
	}
	for key, value := range labels {
		values, there := m.labels[key]
		if !there || key != anyValue && values != nil && !slices.Contains(values, value) {
			return false
		}
	}
	return true
}

// checkMeasured returns an error if a metric is not recorded under labels. Slope is the label whose values are compared, if any.
func checkMeasured(all []measurement, variant, metric, labelsField string, labels map[string]string, slope string) error {
	var known []string
	var of []measurement
	for _, m := range all {
		if !slices.Contains(known, m.metric) {
			known = append(known, m.metric)
		}
		if m.metric == metric {
			of = append(of, m)
		}
	}
	if len(of) == 0 {
		return fmt.Errorf("metric: variant %s does not measure %q%s", variant, metric, manifest.Suggest(metric, known))
	}
	if slope != "" {
		labels = maps.Clone(labels)
		if labels == nil {
			labels = make(map[string]string)
		}
		labels[slope] = ""
	}
	for _, m := range of {
		if m.has(labels, slope) {
			return nil
		}
	}
	var forms []string
	for _, m := range of {
		if form := m.form(); !slices.Contains(forms, form) {
			forms = append(forms, form)
		}
	}
	found := describeLabels(labels)
	if found == "" {
		found = " without labels"
	}
	return fmt.Errorf("%s: variant %s does not measure %s%s (want %s)", labelsField, variant, metric, found, strings.Join(forms, ", or "))
}

// form is as in "protocol=tcp node=node-a|node-b".
func (m measurement) form() string {
	if len(m.labels) == 0 {
		return "no labels"
	}
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(m.labels)) {
		value := strings.Join(m.labels[key], "|")
		if m.labels[key] == nil {
			value = "…"
		}
		parts = append(parts, key+"="+value)
	}
	return strings.Join(parts, " ")
}
