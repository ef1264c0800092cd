package assess

import "math"

// CountedProfile is a profile that would make the ports' counters count what they did, as far as counters tell: calls reach all nodes
// evenly, a request is one segment, and all pods answer alike. It is nil if there are no counters of all nodes, or they fit no such traffic.
//
// Counters know no requests, only packets: requestsOf tells how many of these are requests.
func CountedProfile(o Observations) *Profile {
	g := gainOf(o)
	if g == nil {
		return nil
	}
	total, _ := o.totalLoad()
	q, r := solve(total.PacketsIn, total.PacketsOut, g.Crossing)
	requests := requestsOf(q, r)
	p := &Profile{
		Name: "what the counters have", Requests: requests, ReplyPackets: r / requests,
		RequestBytes: (g.Requests - q*headers) / requests, ReplyBytes: (g.Replies - r*headers) / requests,
	}
	if p.RequestBytes < 1 || p.ReplyBytes < 1 {
		return nil // acknowledgements alone
	}
	return p
}

// requestsOf is how many requests there are, of one segment, when clients send q packets and get r. With n requests, and replies of b = r/n
// segments on average, which are acknowledged as Profile's frames are,
//
//	q = n (1 + acknowledgements(b + 1))
//
// so that n = q/2 for b up to 2, and n = q/(1+k) for b from 2k-1 to 2k. From b = 2 on more than one n fits, as replies of 2 and of 3 segments
// look alike: of these it is the largest, which is right for even b.
func requestsOf(q, r float64) float64 {
	const rounding = 0.01   // of counters
	if r <= q || r >= 2*q { // in the second case most is acknowledged more rarely: what clients send may be requests
		return q / 2
	}
	return q / (1 + math.Ceil(r/(2*q-r)-rounding))
}
