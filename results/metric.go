package results

import (
	"strings"

	"github.com/dsrlab/dsrlab/results/units"
)

// Direction says which values of a metric are good.
type Direction int

const (
	// Neutral is a metric of which neither more nor less is better in itself.
	Neutral Direction = iota
	// MoreIsBetter and LessIsBetter are metrics that say how well something works.
	MoreIsBetter
	LessIsBetter
)

// MetricInfo describes a metric for people.
type MetricInfo struct {
	// Title is its name in words, in lower case.
	Title string
	Good  Direction
}

// DescribeMetric describes the metric of a name; of one that is not known, the name in words.
func DescribeMetric(name string) MetricInfo {
	for _, known := range knownMetrics() {
		if known.name == name {
			return MetricInfo{known.title, known.good}
		}
	}
	for _, percentile := range []struct{ suffix, words string }{{"_p50", "median"}, {"_p95", "95th percentile"}, {"_p99", "99th percentile"}} {
		if of, ok := strings.CutSuffix(name, percentile.suffix); ok {
			info := DescribeMetric(of)
			return MetricInfo{info.Title + ", " + percentile.words, info.Good}
		}
	}
	return MetricInfo{Title: strings.ReplaceAll(name, "_", " ")}
}

// CurrentMetric returns the name that a metric has now. Runs and labs that were written before 30 November 2026 say goodput for what an
// application received per second, which inference calls differently: there it is requests within their objective.
func CurrentMetric(name string) string {
	switch name {
	case "goodput":
		return "payload_rate"
	case "goodput_together":
		return "payload_rate_together"
	}
	return name
}

type knownMetric struct {
	name, title string
	good        Direction
}

func knownMetrics() []knownMetric {
	return []knownMetric{
		{"payload_rate", "payload rate", MoreIsBetter},
		{"payload_rate_together", "payload rate of all pods while all send", MoreIsBetter},
		{"retransmits", "retransmitted segments", LessIsBetter},
		{"retransmitted", "share of segments retransmitted", LessIsBetter},
		{"rtt", "round-trip time", LessIsBetter},
		{"lb_port_drops", "packets dropped at the LB node's port", LessIsBetter},
		{"lb_port_use", "use of the LB node's port", Neutral},
		{"lb_port_bytes_reply", "reply bytes through the LB node", Neutral},
		{"lb_bytes_per_byte", "bytes through the LB node per byte delivered", Neutral},
		{"lb_reply_bytes_per_byte", "reply bytes through the LB node per byte delivered", Neutral},
		{"lb_reply_frames", "reply packets through the LB node", Neutral},
		{"cpu_busy", "CPU in use", Neutral},
		{"link_calibration", "measured rate of the links to the configured one", Neutral},
		{"answer", "response time", LessIsBetter},
		{"ttfb", "time to first byte", LessIsBetter},
		{"ttfb_share", "time to first byte to completion", Neutral},
		{"tpot", "time per token", LessIsBetter},
		{"pace", "gap between tokens", LessIsBetter},
		{"completion", "completion time", LessIsBetter},
		{"longest_gap", "longest pause of a transfer", LessIsBetter},
		{"requests_per_second", "request rate", MoreIsBetter},
		{"failures", "failed requests", LessIsBetter},
		{"connected", "connections that worked", MoreIsBetter},
		{"answered", "requests answered", MoreIsBetter},
		{"tcp_answered", "TCP requests answered", MoreIsBetter},
		{"udp_answered", "UDP requests answered", MoreIsBetter},
		{"raw_tcp_answered", "requests answered over plain TCP", MoreIsBetter},
		{"source_preserved", "connections in which the pod saw the client", MoreIsBetter},
		{"source_is_lb_node", "connections in which the pod saw the LB node", Neutral},
		{"survived", "downloads that survived", MoreIsBetter},
		{"lost", "downloads lost", LessIsBetter},
		{"garbled", "requests whose PROXY header was taken for input", LessIsBetter},
		{"completed", "downloads completed", MoreIsBetter},
		{"client_resets", "resets that the client sent", Neutral},
		{"spoof_drops", "replies dropped as spoofed", Neutral},
		{"answers_from_wrong_source", "replies from a wrong address", LessIsBetter},
		{"reply_source_frontend", "replies that come from the frontend", Neutral},
		{"pod_node_reply_frontend", "replies with the frontend's address as they leave the pod node", Neutral},
		{"innocent_served", "requests of the innocent client served", MoreIsBetter},
		{"abusive_blocked", "requests of the abusive client blocked", MoreIsBetter},
		{"regions_right", "clients whose region was right", MoreIsBetter},
		{"lines_right", "log lines with the right client", MoreIsBetter},
		{"bills_right", "bills that were right", MoreIsBetter},
		{"visitors_counted", "visitors counted", Neutral},
		{"reached", "calls back that reached the client", MoreIsBetter},
	}
}

// Share reports whether the values of a metric are shares of 1, which people read in percent. What is something per something else, a
// factor, is none; nor is a cell, which is yes or no.
func Share(metric, unit string) bool {
	return unit == "ratio" && metric != cellMetric && !strings.Contains(metric, "_per_")
}

// ScaleFor is units.ScaleFor for values of a metric: shares are in percent.
func ScaleFor(metric, unit string, largest float64) units.Scale {
	if Share(metric, unit) {
		return units.Scale{Divisor: 0.01, Name: "%"}
	}
	return units.ScaleFor(unit, largest)
}

// FormatValue prints a value of a metric with its unit, as in "941.2 Mbit/s", "98 %" or "yes".
func FormatValue(metric, unit string, value float64) string {
	if metric == cellMetric {
		return map[bool]string{true: "yes", false: "no"}[value == 1]
	}
	s := ScaleFor(metric, unit, value)
	return strings.TrimSpace(units.Number(value/s.Divisor) + " " + s.Name)
}
