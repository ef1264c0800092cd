package download

import (
	"net/netip"
	"slices"
	"time"
)

// End says how a download ended.
type End string

// The ends.
const (
	Completed End = "completed" // all of the content came
	Reset     End = "reset"     // RST, or the end of the connection before that of the content
	Stalled   End = "stalled"   // nothing came for longer than Options.Stall
	Refused   End = "refused"   // nobody listens there
	Timeout   End = "timeout"   // the connection was not set up in time
	Corrupt   End = "corrupt"   // something else came than the content
	Stopped   End = "stopped"   // the load was told to stop
	Failed    End = "failed"    // anything else: no route, an ICMP error
)

// Report is how the downloads of a load went. All times of downloads are since Began.
type Report struct {
	Target netip.AddrPort `json:"target"`
	Began  time.Time      `json:"began"`
	// Count is how many ran at the same time, Rate that of each in bit/s.
	Count int     `json:"count"`
	Rate  float64 `json:"rate"`
	// Ends counts downloads.
	Ends map[End]int `json:"ends"`
	// Bytes is all content that came.
	Bytes int64 `json:"bytes"`
	// Downloads are in the order in which they were begun.
	Downloads []Download `json:"downloads"`
}

// Download is one download.
type Download struct {
	Index int `json:"index"`
	// Slot is which of the Count downloads at the same time it was.
	Slot  int            `json:"slot"`
	Local netip.AddrPort `json:"local,omitzero"`
	// Began is when the connection was asked for, Connected when it was there, and Ended when the download had ended, in
	// nanoseconds.
	Began     time.Duration `json:"beganNs"`
	Connected time.Duration `json:"connectedNs,omitzero"`
	Ended     time.Duration `json:"endedNs"`
	End       End           `json:"end"`
	Error     string        `json:"error,omitempty"`
	// Bytes of content came and were right, of those that were wanted.
	Bytes int64 `json:"bytes"`
	Want  int64 `json:"want"`
	// LongestGap is the longest time in which nothing came, and LongestGapBegan when that was, in nanoseconds. A server
	// sends every 200 ms, or oftener: what is longer by much is an interruption that the connection survived, or its end.
	LongestGap      time.Duration `json:"longestGapNs"`
	LongestGapBegan time.Duration `json:"longestGapBeganNs"`
}

func newReport(o *Options, began time.Time, downloads []Download) *Report {
	r := &Report{Target: o.Target, Began: began, Count: o.Count, Rate: o.Rate, Ends: map[End]int{}, Downloads: slices.Clone(downloads)}
	slices.SortFunc(r.Downloads, func(a, b Download) int { return a.Index - b.Index })
	for _, d := range r.Downloads {
		r.Ends[d.End]++
		r.Bytes += d.Bytes
	}
	return r
}

// RunningAt returns the downloads that were connected at a time, such as that of a node's death, and had not ended.
func (r *Report) RunningAt(at time.Time) []Download {
	since := at.Sub(r.Began)
	var running []Download
	for _, d := range r.Downloads {
		if d.Connected > 0 && d.Connected <= since && d.Ended > since {
			running = append(running, d)
		}
	}
	return running
}
