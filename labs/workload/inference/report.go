package inference

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/arrival"
	"github.com/dsrlab/dsrlab/results/stats"
)

// Report is the result of a load.
type Report struct {
	Target  netip.AddrPort  `json:"target"`
	Shape   Shape           `json:"shape"`
	Process arrival.Process `json:"process"`
	// Arrival is the result of the process: shed requests are those that were due and not made, and lag is how late the
	// clients' machine was.
	Arrival arrival.Report `json:"arrival"`
	// Outcomes counts requests; Errors counts all that are not ok, including those that were shed.
	Outcomes map[workload.Outcome]int `json:"outcomes"`
	Errors   int                      `json:"errors"`
	// FirstByte and Completion are from when a request was due to the first and the last byte of its response's body, TPOT and
	// Pace are those of streams; in seconds, of requests whose outcome is ok. With errors, they are biased towards good ones.
	FirstByte  arrival.Latency `json:"firstByteSeconds"`
	TPOT       arrival.Latency `json:"tpotSeconds"`
	Pace       arrival.Latency `json:"paceSeconds"`
	Completion arrival.Latency `json:"completionSeconds"`
	// Rate is the number of requests per second that were ok, from the start until the end of the last one.
	Rate float64 `json:"requestsPerSecond"`
	// BytesOut and BytesIn count the bodies of requests and responses, including failed ones; the rates are in bit/s.
	BytesOut       int64   `json:"bytesOut"`
	BytesIn        int64   `json:"bytesIn"`
	PayloadRateOut float64 `json:"payloadRateOut"`
	PayloadRateIn  float64 `json:"payloadRateIn"`
	// Samples are the requests, in the order in which they were due.
	Samples []Sample `json:"samples"`
}

// Sample is one request.
type Sample struct {
	Index int `json:"index"`
	// Due is when it had to begin, since the load's start, in nanoseconds.
	Due time.Duration `json:"dueNs"`
	// Local is the client's end of the connection.
	Local netip.AddrPort `json:"local,omitzero"`
	// Request and Response are the sizes that were drawn, BytesOut and BytesIn those that were transferred.
	Request  int64 `json:"request"`
	Response int64 `json:"response"`
	BytesOut int64 `json:"bytesOut"`
	BytesIn  int64 `json:"bytesIn"`
	Tokens   int64 `json:"tokens,omitempty"`
	// FirstByte and Completion are since Due, in nanoseconds. Completion is set for every outcome.
	FirstByte  time.Duration `json:"firstByteNs"`
	Completion time.Duration `json:"completionNs"`
	// TPOT is the time per output token of a stream of two tokens or more: from the first token's arrival to the last one's,
	// divided by their number minus one. Pace is the same as reported by the server (0: not reported), without the
	// time that the server waited for the network. Both are in nanoseconds.
	TPOT    time.Duration    `json:"tpotNs,omitempty"`
	Pace    time.Duration    `json:"paceNs,omitempty"`
	Outcome workload.Outcome `json:"outcome"`
	Error   string           `json:"error,omitempty"`
}

// OffPace returns how far the server was from the requested rate, as a share of it, in the median and in the
// worst stream. Without streams whose server reports its pace, both are 0 and ok is false: the machine may have delayed tokens.
func (r *Report) OffPace() (median, worst float64, ok bool) {
	var off []float64
	for _, s := range r.Samples {
		if s.Outcome == workload.OutcomeOK && s.Pace > 0 {
			off = append(off, math.Abs(s.Pace.Seconds()*r.Shape.TokenRate-1))
		}
	}
	if len(off) == 0 || len(off) < r.TPOT.Count {
		return 0, 0, false
	}
	return stats.Median(off), slices.Max(off), true
}

func newReport(o *LoadOptions, made arrival.Report, samples []Sample) *Report {
	slices.SortFunc(samples, func(a, b Sample) int { return a.Index - b.Index })
	r := &Report{Target: o.Target, Shape: o.Shape, Process: o.Process, Arrival: made, Outcomes: map[workload.Outcome]int{}, Samples: samples}
	var firsts, tpots, paces, completions []float64
	for _, sample := range samples {
		r.Outcomes[sample.Outcome]++
		r.BytesOut += sample.BytesOut
		r.BytesIn += sample.BytesIn
		if sample.Outcome != workload.OutcomeOK {
			continue
		}
		firsts = append(firsts, sample.FirstByte.Seconds())
		completions = append(completions, sample.Completion.Seconds())
		if sample.TPOT > 0 {
			tpots = append(tpots, sample.TPOT.Seconds())
		}
		if sample.Pace > 0 {
			paces = append(paces, sample.Pace.Seconds())
		}
	}
	r.FirstByte, r.Completion = arrival.LatencyOf(firsts), arrival.LatencyOf(completions)
	r.TPOT, r.Pace = arrival.LatencyOf(tpots), arrival.LatencyOf(paces)
	r.Errors = len(samples) - r.Outcomes[workload.OutcomeOK] + made.Shed
	if seconds := made.Elapsed.Seconds(); seconds > 0 {
		r.Rate = float64(r.Outcomes[workload.OutcomeOK]) / seconds
		r.PayloadRateOut = 8 * float64(r.BytesOut) / seconds
		r.PayloadRateIn = 8 * float64(r.BytesIn) / seconds
	}
	return r
}
