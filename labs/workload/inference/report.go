package inference

import (
	"net/netip"
	"slices"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/arrival"
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
	// FirstByte and Completion are from when a request was due to the first and the last byte of its response's body, and
	// TokenGap is between the tokens of a stream; in seconds, of requests whose outcome is ok. With errors, they are of the
	// lucky ones.
	FirstByte  arrival.Latency `json:"firstByteSeconds"`
	TokenGap   arrival.Latency `json:"tokenGapSeconds"`
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
	FirstByte  time.Duration    `json:"firstByteNs"`
	Completion time.Duration    `json:"completionNs"`
	Outcome    workload.Outcome `json:"outcome"`
	Error      string           `json:"error,omitempty"`

	gaps []float64 // seconds
}

func newReport(o *LoadOptions, made arrival.Report, samples []Sample) *Report {
	slices.SortFunc(samples, func(a, b Sample) int { return a.Index - b.Index })
	r := &Report{Target: o.Target, Shape: o.Shape, Process: o.Process, Arrival: made, Outcomes: map[workload.Outcome]int{}, Samples: samples}
	var firsts, gaps, completions []float64
	for _, sample := range samples {
		r.Outcomes[sample.Outcome]++
		r.BytesOut += sample.BytesOut
		r.BytesIn += sample.BytesIn
		if sample.Outcome != workload.OutcomeOK {
			continue
		}
		firsts = append(firsts, sample.FirstByte.Seconds())
		completions = append(completions, sample.Completion.Seconds())
		gaps = append(gaps, sample.gaps...)
	}
	r.FirstByte, r.TokenGap, r.Completion = arrival.LatencyOf(firsts), arrival.LatencyOf(gaps), arrival.LatencyOf(completions)
	r.Errors = len(samples) - r.Outcomes[workload.OutcomeOK] + made.Shed
	if seconds := made.Elapsed.Seconds(); seconds > 0 {
		r.Rate = float64(r.Outcomes[workload.OutcomeOK]) / seconds
		r.GoodputOut = 8 * float64(r.BytesOut) / seconds
		r.GoodputIn = 8 * float64(r.BytesIn) / seconds
	}
	return r
}
