package assess

import "math"

// CountedProfile is a profile that would make the ports' counters count what they did, as far as counters tell: calls reach all nodes
// evenly, a request is one segment, and all pods answer alike. It is nil if there are no counters of all nodes, or they fit no such traffic.
//
// Counters know no requests, only packets. With n requests each second of one segment, and replies of b segments, which are acknowledged as
// Profile's frames are: Q = n (1 + b/2 + 1) and R = n b packets, so that n = (Q - R/2) / 2.
func CountedProfile(o Observations) *Profile {
	g := gainOf(o)
	if g == nil {
		return nil
	}
	total, _ := o.totalLoad()
	q, r := solve(total.PacketsIn, total.PacketsOut, g.Crossing)
	requests := (q - r/perACK) / 2
	if requests <= 0 { // acknowledged more rarely: most of what clients send may be requests
		requests = q / 2
	}
	p := &Profile{
		Name: "what the counters have", Requests: requests, ReplyPackets: math.Ceil(r / requests),
		RequestBytes: (g.Requests - q*headers) / requests, ReplyBytes: (g.Replies - r*headers) / requests,
	}
	if p.RequestBytes < 1 || p.ReplyBytes < 1 {
		return nil // acknowledgements alone
	}
	return p
}
