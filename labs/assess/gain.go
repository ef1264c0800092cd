package assess

import "math"

// Load is what a node's port carries: bytes and packets per second, of frames without preamble, gap and checksum.
type Load struct {
	BytesIn    float64 `json:"bytesIn"`
	BytesOut   float64 `json:"bytesOut"`
	PacketsIn  float64 `json:"packetsIn"`
	PacketsOut float64 `json:"packetsOut"`
}

// Gain is what DSR would change at the ports of the nodes, as the counters let predict. It takes all traffic of the ports for that of
// services whose calls reach the nodes evenly, over IPv4.
type Gain struct {
	// Nodes is how many nodes the counters are of, and OfNodes how many there are, which are taken to be like them; they are the LB nodes, and have
	// the pods.
	Nodes   int `json:"nodes"`
	OfNodes int `json:"ofNodes"`
	// Crossing is the share of requests that are answered on another node than was called.
	Crossing float64 `json:"crossing"`
	// Requests and Replies are what clients send and get, in bytes per second, of all nodes together.
	Requests float64 `json:"requests"`
	Replies  float64 `json:"replies"`
	// Now and DSR are the load of one node's port, on average.
	Now Load `json:"now"`
	DSR Load `json:"dsr"`
	// LinkRate is the rate of the slowest port in bit/s; 0: not known, and the numbers below are 0.
	LinkRate float64 `json:"linkRate,omitempty"`
	// FullNow and FullDSR are by how much the traffic may grow until that port is full in its busier direction.
	FullNow float64 `json:"fullNow,omitempty"`
	FullDSR float64 `json:"fullDSR,omitempty"`
}

// frameGap is what a frame takes on the wire besides its bytes here: preamble 8, gap 12, checksum 4.
const frameGap = 24

// gainOf predicts from the counters of all nodes; nil if there are none of some node, or they fit no such traffic.
//
// Let clients send Q and get R, with the share x of requests crossing nodes. Today a crossing reply comes in at the node that was called,
// and goes out again. Of all ports together then
//
//	in  = Q + x (Q + R)    requests from clients; requests and replies between nodes
//	out = R + x (Q + R)    replies to clients; the same again
//
// so that R - Q = out - in, which gives both. Under DSR no reply crosses: xR less in each direction, and Geneve adds its header to the
// requests that cross. Packets follow the same rule.
func gainOf(o Observations) *Gain {
	if len(o.Nodes) == 0 || len(o.Counters) == 0 {
		return nil
	}
	total, ok := o.totalLoad()
	if !ok {
		return nil
	}
	n := float64(o.clusterSize())
	g := Gain{Nodes: len(o.Nodes), OfNodes: o.clusterSize(), Crossing: crossing(o.clusterSize())}
	q, r := solve(total.BytesIn, total.BytesOut, g.Crossing)
	packetsQ, packetsR := solve(total.PacketsIn, total.PacketsOut, g.Crossing)
	if min(q, r, packetsQ, packetsR) < 0 {
		return nil // not what services send
	}
	g.Requests, g.Replies = q, r
	header := g.Crossing * packetsQ * geneve4
	g.Now = Load{total.BytesIn / n, total.BytesOut / n, total.PacketsIn / n, total.PacketsOut / n}
	g.DSR = Load{
		BytesIn:    (total.BytesIn - g.Crossing*r + header) / n,
		BytesOut:   (total.BytesOut - g.Crossing*r + header) / n,
		PacketsIn:  (total.PacketsIn - g.Crossing*packetsR) / n,
		PacketsOut: (total.PacketsOut - g.Crossing*packetsR) / n,
	}
	for _, node := range o.Nodes {
		if node.LinkRate > 0 && (g.LinkRate == 0 || node.LinkRate < g.LinkRate) {
			g.LinkRate = node.LinkRate
		}
	}
	g.FullNow, g.FullDSR = g.Now.room(g.LinkRate), g.DSR.room(g.LinkRate)
	return &g
}

// solve returns requests and replies, of what comes in and goes out of all ports together with the share x crossing.
func solve(in, out, x float64) (q, r float64) {
	more := out - in // of replies than of requests
	q = (in - x*more) / (1 + 2*x)
	return q, q + more
}

// room returns by how much the load may grow until a port of the rate is full in its busier direction; 0 if that is not known.
func (l Load) room(rate float64) float64 {
	busiest := max(l.BytesIn+frameGap*l.PacketsIn, l.BytesOut+frameGap*l.PacketsOut) * 8
	if rate == 0 || busiest == 0 {
		return 0
	}
	return rate / busiest
}

// totalLoad is the load of all nodes' ports together: those that were not probed are taken to have the average of the others. It is not known
// unless each node that was probed has been counted.
func (o Observations) totalLoad() (sum Load, ok bool) {
	counted := map[string]bool{}
	for _, c := range o.Counters {
		seconds := c.Interval.Seconds()
		if seconds <= 0 || counted[c.Node] {
			return Load{}, false
		}
		counted[c.Node] = true
		sum.BytesIn += float64(c.BytesIn) / seconds
		sum.BytesOut += float64(c.BytesOut) / seconds
		sum.PacketsIn += float64(c.PacketsIn) / seconds
		sum.PacketsOut += float64(c.PacketsOut) / seconds
	}
	for _, n := range o.Nodes {
		if !counted[n.Name] {
			return Load{}, false
		}
	}
	all := float64(o.clusterSize()) / float64(len(o.Nodes))
	sum = Load{all * sum.BytesIn, all * sum.BytesOut, all * sum.PacketsIn, all * sum.PacketsOut}
	return sum, sum.BytesIn > 0 && !math.IsInf(sum.BytesIn+sum.BytesOut, 0)
}
