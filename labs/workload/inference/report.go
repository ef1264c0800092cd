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

// Report is how a load's requests went.
type Report struct {
	Target  netip.AddrPort  `json:"target"`
	Shape   Shape           `json:"shape"`
	Process arrival.Process `json:"process"`
	// Arrival is what came of the process: shed requests are those that were due and not made, and lag is how late the
	// clients' machine was.
	Arrival arrival.Report `json:"arrival"`
	// Outcomes counts requests; Errors are all that are not ok, those that were shed included.
	Outcomes map[workload.Outcome]int `json:"outcomes"`
	Errors   int                      `json:"errors"`
	// FirstByte and Completion are from when a request was due to the first and the last byte of its response's body, TPOT and
	// Pace are those of streams; in seconds, of requests whose outcome is ok. With errors, they are of the lucky ones.
	FirstByte  arrival.Latency `json:"firstByteSeconds"`
	TPOT       arrival.Latency `json:"tpotSeconds"`
	Pace       arrival.Latency `json:"paceSeconds"`
	Completion arrival.Latency `json:"completionSeconds"`
	// Rate is requests per second that were ok, from the begin until the last one's end.
	Rate float64 `json:"requestsPerSecond"`
	// BytesOut and BytesIn are of the bodies of requests and responses, those that broke included; the rates are in bit/s.
	BytesOut   int64   `json:"bytesOut"`
	BytesIn    int64   `json:"bytesIn"`
	GoodputOut float64 `json:"goodputOut"`
	GoodputIn  float64 `json:"goodputIn"`
	// Samples are the requests, in the order in which they were due.
	Samples []Sample `json:"samples"`
}

// Sample is one request.
type Sample struct {
	Index int `json:"index"`
	// Due is when it was to begin, since the load's begin, in nanoseconds.
	Due time.Duration `json:"dueNs"`
	// Local is the client's own end of the connection.
	Local netip.AddrPort `json:"local,omitzero"`
	// Request and Response are the sizes that were drawn, BytesOut and BytesIn those that came about.
	Request  int64 `json:"request"`
	Response int64 `json:"response"`
	BytesOut int64 `json:"bytesOut"`
	BytesIn  int64 `json:"bytesIn"`
	Tokens   int64 `json:"tokens,omitempty"`
	// FirstByte and Completion are since Due, in nanoseconds. Completion is there for every outcome.
	FirstByte  time.Duration `json:"firstByteNs"`
	Completion time.Duration `json:"completionNs"`
	// TPOT is the time per output token of a stream of two tokens or more: from the first token's arrival to the last one's,
	// divided by their number less one. Pace is the same as the server says that it made them (0: it does not say), without the
	// time that the network let it wait. Both are in nanoseconds.
	TPOT    time.Duration    `json:"tpotNs,omitempty"`
	Pace    time.Duration    `json:"paceNs,omitempty"`
	Outcome workload.Outcome `json:"outcome"`
	Error   string           `json:"error,omitempty"`
}

// OffPace is how far the server was from the rate that was asked for, as a share of it, in the stream in the middle and in the
// worst one. Without streams whose server tells its pace both are 0 and ok is false: their TPOT can't be told from the machine's.
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
		r.GoodputOut = 8 * float64(r.BytesOut) / seconds
		r.GoodputIn = 8 * float64(r.BytesIn) / seconds
	}
	return r
}
