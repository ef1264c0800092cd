package workload

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"time"
)

// BulkReport is the result of a transfer.
type BulkReport struct {
	Target    netip.AddrPort `json:"target"`
	Direction Direction      `json:"direction"`
	// Began is when the first stream could begin. Durations are counted from here.
	Began time.Time `json:"began"`
	// Download and Upload summarize the streams; nil if the direction does not include it.
	Download *Flow    `json:"download,omitempty"`
	Upload   *Flow    `json:"upload,omitempty"`
	Streams  []Stream `json:"streams"`
}

// Stream is one connection of a transfer, as each end reported it.
type Stream struct {
	// Begin is when the client's end began, since BulkReport.Began, in nanoseconds.
	Begin  time.Duration `json:"beginNs"`
	Client *BulkEnd      `json:"client,omitempty"`
	// Server is nil if its report did not arrive; Error then holds the reason.
	Server *BulkEnd `json:"server,omitempty"`
	Error  string   `json:"error,omitempty"`
}

// Flow is one direction of a transfer, over all streams.
type Flow struct {
	// PayloadRate is the rate of payload that the receiver's application got, from its first byte to its last, in bit/s.
	PayloadRate float64 `json:"payloadRate"`
	// Together is the payload rate while all streams ran: from when the last of them got its first byte until the first of them got its
	// last, in bit/s; 0 if they never all ran. Streams that share a link end at different times, which does not affect it.
	Together float64 `json:"together"`
	// TogetherFrom and TogetherUntil bound that time, in nanoseconds since the transfer began; both 0 if there was none.
	TogetherFrom  time.Duration `json:"togetherFromNs,omitzero"`
	TogetherUntil time.Duration `json:"togetherUntilNs,omitzero"`
	// Bytes is that payload; Sent is what the sender's application wrote: the same unless a stream broke.
	Bytes int64 `json:"bytes"`
	Sent  int64 `json:"sent"`
	// Duration is from the first to the last byte that the receiver's application got, in nanoseconds.
	Duration time.Duration `json:"durationNs"`
	// Retransmits counts segments sent again, Timeouts expiries of the RTO, of all senders.
	Retransmits uint64 `json:"retransmits"`
	Timeouts    uint64 `json:"timeouts"`
	// BytesTransmitted counts the bytes of all senders' segments, BytesRetransmitted those that were sent again.
	BytesTransmitted   uint64 `json:"bytesTransmitted"`
	BytesRetransmitted uint64 `json:"bytesRetransmitted"`
	// RTT is the mean of the sender's smoothed round-trip time over all samples of all streams, MinRTT the least, in
	// nanoseconds.
	RTT    time.Duration `json:"rttNs"`
	MinRTT time.Duration `json:"minRTTNs"`
	// CongestionControl is that of the senders.
	CongestionControl string `json:"congestionControl"`
	// SenderReported reports whether all senders' TCP_INFO arrived. If not, Sent, Retransmits, Timeouts and RTT
	// leave out some streams and must not be compared.
	SenderReported bool `json:"senderReported"`
	// Series is the payload rate over time, of the receivers' applications, with what the senders sent again in the meantime.
	Series []Rate `json:"series"`
}

// Retransmitted returns the share of the transmitted payload that had been transmitted before; 0 if nothing is known.
func (f *Flow) Retransmitted() float64 {
	if f.BytesTransmitted == 0 {
		return 0
	}
	return float64(f.BytesRetransmitted) / float64(f.BytesTransmitted)
}

// Rate is the payload rate from the point before it (or 0) until At.
type Rate struct {
	At          time.Duration `json:"atNs"`
	PayloadRate float64       `json:"payloadRate"` // bit/s
	// Bytes are those that PayloadRate is the rate of, Retransmits the segments that the senders sent again. Over the whole series both add up to
	// those of the flow. Senders count by their own clocks, which begin half a round trip apart.
	Bytes       int64 `json:"bytes"`
	Retransmits int64 `json:"retransmits"`
}

// last returns the counters at the transfer's end.
func (e *BulkEnd) last() TCPInfo {
	if len(e.Samples) == 0 {
		return TCPInfo{}
	}
	return e.Samples[len(e.Samples)-1].TCP
}

func newBulkReport(o *BulkOptions, began time.Time, streams []Stream) *BulkReport {
	r := &BulkReport{Target: o.Target, Direction: o.Direction, Began: began, Streams: streams}
	if o.Direction.serverSends() {
		r.Download = newFlow(streams, func(s Stream) (sender, receiver *BulkEnd) { return s.Server, s.Client })
	}
	if o.Direction.clientSends() {
		r.Upload = newFlow(streams, func(s Stream) (sender, receiver *BulkEnd) { return s.Client, s.Server })
	}
	return r
}

// newFlow summarizes one direction of all streams. ends returns the sender's and the receiver's report, nil for a missing one.
func newFlow(streams []Stream, ends func(Stream) (sender, receiver *BulkEnd)) *Flow {
	flow := &Flow{SenderReported: true}
	var first, last, allFrom, allUntil time.Duration
	var rtts, samples time.Duration
	var received, again []progress
	for _, stream := range streams {
		sender, receiver := ends(stream)
		if receiver != nil && receiver.Received > 0 {
			begin, end := stream.Begin+receiver.FirstByte, stream.Begin+receiver.LastByte
			if len(received) == 0 {
				first, allUntil = begin, end
			}
			first, last = min(first, begin), max(last, end)
			allFrom, allUntil = max(allFrom, begin), min(allUntil, end)
			flow.Bytes += receiver.Received
			received = append(received, progressOf(stream.Begin, receiver))
		}
		if sender == nil {
			flow.SenderReported = false
			continue
		}
		flow.addSender(sender)
		again = append(again, retransmitsOf(stream.Begin, sender))
		for _, sample := range sender.Samples {
			if sample.TCP.RTT > 0 {
				rtts, samples = rtts+sample.TCP.RTT, samples+1
			}
		}
	}
	if samples > 0 {
		flow.RTT = rtts / samples
	}
	if flow.Duration = last - first; flow.Duration > 0 {
		flow.PayloadRate = bitsPerSecond(float64(flow.Bytes), flow.Duration)
	}
	if len(received) == len(streams) && allFrom < allUntil {
		flow.Together, flow.TogetherFrom, flow.TogetherUntil = together(received, allFrom, allUntil), allFrom, allUntil
	}
	flow.Series = series(received, again, last)
	return flow
}

func (f *Flow) addSender(sender *BulkEnd) {
	final := sender.last()
	f.Sent += sender.Sent
	f.Retransmits += uint64(final.Retransmits)
	f.Timeouts += uint64(final.Timeouts)
	f.BytesTransmitted += final.BytesSent
	f.BytesRetransmitted += final.BytesRetransmitted
	f.CongestionControl = sender.CongestionControl
	if final.MinRTT > 0 && (f.MinRTT == 0 || final.MinRTT < f.MinRTT) {
		f.MinRTT = final.MinRTT
	}
}

// progress is how many bytes a receiver had got, or segments a sender had sent again, by which time; both only grow.
type progress []milestone

type milestone struct {
	at    time.Duration
	count int64
}

func progressOf(begin time.Duration, receiver *BulkEnd) progress {
	var p progress
	for _, sample := range receiver.Samples {
		if sample.At >= receiver.LastByte {
			break
		}
		p = append(p, milestone{begin + sample.At, sample.Received})
	}
	return append(p, milestone{begin + receiver.LastByte, receiver.Received})
}

func retransmitsOf(begin time.Duration, sender *BulkEnd) progress {
	var p progress
	for _, sample := range sender.Samples {
		p = append(p, milestone{begin + sample.At, int64(sample.TCP.Retransmits)})
	}
	return p
}

// until returns the count by a time, with a constant rate between two samples.
func (p progress) until(at time.Duration) float64 {
	i, found := slices.BinarySearchFunc(p, at, func(m milestone, at time.Duration) int { return cmp.Compare(m.at, at) })
	switch {
	case len(p) == 0:
		return 0
	case i == len(p):
		return float64(p[len(p)-1].count)
	case found:
		return float64(p[i].count)
	case i == 0:
		return float64(p[0].count) * float64(at) / float64(p[0].at)
	}
	a, b := p[i-1], p[i]
	return float64(a.count) + float64(b.count-a.count)*float64(at-a.at)/float64(b.at-a.at)
}

// countUntil adds up all streams' counts by a time.
func countUntil(streams []progress, at time.Duration) (count float64) {
	for _, p := range streams {
		count += p.until(at)
	}
	return count
}

// together returns the rate of all streams from one time until a later one.
func together(streams []progress, from, until time.Duration) float64 {
	return bitsPerSecond(countUntil(streams, until)-countUntil(streams, from), until-from)
}

// series sums the streams' progress at common points in time, the last of which is when the last byte was received.
func series(received, again []progress, last time.Duration) []Rate {
	interval := sampleInterval
	for last/interval > maxSamples {
		interval *= 2
	}
	rates := []Rate{}
	before, bytesBefore, againBefore := time.Duration(0), 0.0, 0.0
	for before < last {
		at := before + interval
		segments := countUntil(again, at)
		if last-at < interval/2 { // no short last interval, whose rate would be noise
			at, segments = last, countUntil(again, math.MaxInt64)
		}
		bytes := countUntil(received, at)
		rates = append(rates, Rate{
			At: at, PayloadRate: bitsPerSecond(bytes-bytesBefore, at-before),
			Bytes: whole(bytes) - whole(bytesBefore), Retransmits: whole(segments) - whole(againBefore),
		})
		before, bytesBefore, againBefore = at, bytes, segments
	}
	return rates
}

// whole rounds a count between two samples. Differences of what was rounded add up, as rounded differences would not.
func whole(count float64) int64 { return int64(math.Round(count)) }

func bitsPerSecond(bytes float64, over time.Duration) float64 { return 8 * bytes / over.Seconds() }
