package download

import (
	"net/netip"
	"slices"
	"time"
)

// End is how a download ended.
type End string

// The ends.
const (
	Completed End = "completed" // all content arrived
	Reset     End = "reset"     // RST, or end of the connection before the end of the content
	Stalled   End = "stalled"   // nothing arrived for longer than Options.Stall
	Refused   End = "refused"   // no listener
	Timeout   End = "timeout"   // the connection was not set up in time
	Corrupt   End = "corrupt"   // wrong content arrived
	Stopped   End = "stopped"   // the load was told to stop
	Failed    End = "failed"    // anything else: no route, an ICMP error
)

// Report is the result of a load. All times of downloads are since Began.
type Report struct {
	Target netip.AddrPort `json:"target"`
	Began  time.Time      `json:"began"`
	// Count is the number of parallel downloads, Rate that of each in bit/s.
	Count int     `json:"count"`
	Rate  float64 `json:"rate"`
	// Ends counts downloads by end.
	Ends map[End]int `json:"ends"`
	// Bytes counts all content that arrived.
	Bytes int64 `json:"bytes"`
	// Downloads are in the order in which they were begun.
	Downloads []Download `json:"downloads"`
}

// Download is one download.
type Download struct {
	Index int `json:"index"`
	// Slot is which of the Count parallel downloads it was.
	Slot  int            `json:"slot"`
	Local netip.AddrPort `json:"local,omitzero"`
	// Began is when the connection was requested, Connected when it was established, and Ended when the download ended, in
	// nanoseconds.
	Began     time.Duration `json:"beganNs"`
	Connected time.Duration `json:"connectedNs,omitzero"`
	Ended     time.Duration `json:"endedNs"`
	End       End           `json:"end"`
	Error     string        `json:"error,omitempty"`
	// Bytes of content arrived and were right, of the Want requested.
	Bytes int64 `json:"bytes"`
	Want  int64 `json:"want"`
	// LongestGap is the longest time in which nothing arrived, and LongestGapBegan its start, in nanoseconds. A server
	// sends at least every 200 ms: a much longer gap is an interruption that the connection survived, or its end.
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

// RunningAt returns the downloads that were connected at a time, such as that of a node's failure, and had not ended.
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

// Lost reports whether the download was lost, and since when: it received nothing from then on, or ended then.
func (d *Download) Lost() (since time.Duration, lost bool) {
	switch d.End {
	case Completed:
		return 0, false
	case Stalled: // that it was given up came later; a download that goes on has no longer gap
		return d.LongestGapBegan, true
	}
	return d.Ended, true
}
