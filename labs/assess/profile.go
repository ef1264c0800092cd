package assess

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
)

// Profile is a load that somebody expects: requests over TCP connections that are kept, each of which gets a reply.
type Profile struct {
	Name string `json:"name,omitempty"`
	// Requests is how many there are each second, of all clients together.
	Requests float64 `json:"requestsPerSecond"`
	// RequestBytes and ReplyBytes are their payload.
	RequestBytes float64 `json:"requestBytes"`
	ReplyBytes   float64 `json:"replyBytes"`
	// ReplyPackets is in how many packets a reply is sent, on average, where that is more than its size asks for, as of tokens that are streamed.
	ReplyPackets float64 `json:"replyPackets,omitempty"`
	// Acknowledgements are how many there are; nil: one for each second segment (RFC 5681, 4.2), and for a reply's last one.
	Acknowledgements *Acknowledgements `json:"acknowledgements,omitempty"`
	// Tokens is how many a reply has, of a model's replies.
	Tokens float64 `json:"tokens,omitempty"`
	// Entry and Pods are the shares of calls that enter at a node, and that its pods answer, in any measure. Without Entry calls reach all
	// nodes evenly; without Pods the shares are those of the services' pods.
	Entry map[string]float64 `json:"entry,omitempty"`
	Pods  map[string]float64 `json:"pods,omitempty"`
}

// Acknowledgements are packets without data, on average: what a client sends for a reply, and a pod for a request. There are few where
// receivers merge segments before TCP sees them (GRO, LRO), and many where they read while segments arrive.
type Acknowledgements struct {
	Reply   float64 `json:"perReply"`
	Request float64 `json:"perRequest"`
}

// Sizes of what TCP sends in a frame of Ethernet with an MTU of 1500: the payload of a full segment, and the headers around it (Ethernet 14,
// IPv4 20, TCP 20 with 12 for timestamps). Unless the profile says otherwise, a receiver acknowledges every other segment, and a client also the
// last one of a reply; the end of a request is acknowledged by the reply.
const (
	segment = 1448
	headers = 66
	perACK  = 2
)

// PortLoad is what a profile puts on a node's port.
type PortLoad struct {
	Node string `json:"node"`
	Now  Load   `json:"now"`
	DSR  Load   `json:"dsr"`
	// SNAT is of dsrlab's mode snat: as now, with requests between nodes in Geneve.
	SNAT Load `json:"snat"`
}

// Prediction is what a profile puts on all ports, and how much of it they carry.
type Prediction struct {
	Profile Profile    `json:"profile"`
	Ports   []PortLoad `json:"ports"`
	// Now and DSR are how much the ports carry; nil where the rate of a port is not known, or a node that has a part in it was not probed.
	Now *Limit `json:"now,omitempty"`
	DSR *Limit `json:"dsr,omitempty"`
	// SNAT is as of PortLoad.
	SNAT *Limit `json:"snat,omitempty"`
}

// Limit is how much of a profile the ports carry until the first one is full.
type Limit struct {
	Node string `json:"node"` // whose port is full first
	// Requests is the number of requests each second, Replies the rate of the replies' payload in bit/s, and Tokens that of their tokens.
	Requests float64 `json:"requestsPerSecond"`
	Replies  float64 `json:"replies"`
	Tokens   float64 `json:"tokensPerSecond,omitempty"`
}

// Predict says what the observations' profile puts on the ports of the nodes, over IPv4; nil if there is no profile, or no node. With a share
// s of calls entering at a node and a share p answered there, of requests Q and replies R in all:
//
//	now   in  s Q + p (1-s) Q + s (1-p) R     from clients, from other entries, and replies to hand on
//	      out s R + s (1-p) Q + p (1-s) R     to clients, to other nodes' pods, and replies to other entries
//	DSR   in  s Q + p (1-s) Q                 the second in Geneve
//	      out p R + s (1-p) Q                 straight to clients; the second in Geneve
func Predict(o Observations) *Prediction {
	if o.Profile == nil || len(o.Nodes) == 0 {
		return nil
	}
	p := *o.Profile
	names := make([]string, len(o.Nodes))
	rates := map[string]float64{}
	for i, n := range o.Nodes {
		names[i], rates[n.Name] = n.Name, n.LinkRate
	}
	slices.Sort(names)
	entry, pods := o.Shares()
	q, r, geneve := p.frames()
	out := &Prediction{Profile: p}
	for _, name := range names {
		s, here := entry[name], pods[name]
		toOthers, fromOthers := s*(1-here), here*(1-s)
		one := PortLoad{Node: name}
		one.Now.add(s+fromOthers, toOthers, q)
		one.Now.add(toOthers, s+fromOthers, r)
		one.DSR.add(s, 0, q)
		one.DSR.add(fromOthers, toOthers, geneve)
		one.DSR.add(0, here, r)
		one.SNAT.add(s, 0, q)
		one.SNAT.add(fromOthers, toOthers, geneve)
		one.SNAT.add(toOthers, s+fromOthers, r)
		out.Ports = append(out.Ports, one)
	}
	if sumOf(entry) < almostAll || sumOf(pods) < almostAll {
		return out // another port may be full first
	}
	out.Now = p.limit(out.Ports, rates, func(l PortLoad) Load { return l.Now })
	out.DSR = p.limit(out.Ports, rates, func(l PortLoad) Load { return l.DSR })
	out.SNAT = p.limit(out.Ports, rates, func(l PortLoad) Load { return l.SNAT })
	return out
}

// almostAll is the least sum of shares that are all there are.
const almostAll = 1 - 1e-9

func sumOf(all map[string]float64) float64 {
	sum := 0.0
	for _, name := range slices.Sorted(maps.Keys(all)) {
		sum += all[name]
	}
	return sum
}

// stream is what is sent in one direction: bytes and packets per second.
type stream struct{ bytes, packets float64 }

// frames are the frames of requests and of replies, each with the acknowledgements of the other, and those of requests in Geneve.
func (p Profile) frames() (q, r, geneve stream) {
	requests, replies := p.segments()
	acks := Acknowledgements{Reply: acknowledgements(replies + perACK - 1), Request: acknowledgements(requests)}
	if p.Acknowledgements != nil {
		acks = *p.Acknowledgements
	}
	toPod, toClient := requests+acks.Reply, replies+acks.Request
	q = stream{p.Requests * (p.RequestBytes + toPod*headers), p.Requests * toPod}
	r = stream{p.Requests * (p.ReplyBytes + toClient*headers), p.Requests * toClient}
	geneve = stream{q.bytes + q.packets*geneve4, q.packets}
	return q, r, geneve
}

// segments are in how many packets a request and its reply are sent.
func (p Profile) segments() (requests, replies float64) {
	return math.Ceil(p.RequestBytes / segment), max(math.Ceil(p.ReplyBytes/segment), p.ReplyPackets)
}

// Acknowledged are the acknowledgements among packets that were counted, of some of the profile's requests: those from clients, and those to them.
func (p Profile) Acknowledged(n int, fromClients, toClients float64) Acknowledgements {
	requests, replies := p.segments()
	return Acknowledgements{Reply: max(fromClients/float64(n)-requests, 0), Request: max(toClients/float64(n)-replies, 0)}
}

// acknowledgements is how many there are of some segments: one for each two. For a number that is not whole, as on average, it is that of as
// many of the next smaller and the next larger number as have this average.
func acknowledgements(segments float64) float64 {
	whole := math.Floor(segments)
	few, more := math.Floor(whole/perACK), math.Floor((whole+1)/perACK)
	return few + (segments-whole)*(more-few)
}

// add adds shares of a stream that come in and go out.
func (l *Load) add(in, out float64, s stream) {
	l.BytesIn, l.PacketsIn = l.BytesIn+in*s.bytes, l.PacketsIn+in*s.packets
	l.BytesOut, l.PacketsOut = l.BytesOut+out*s.bytes, l.PacketsOut+out*s.packets
}

// limit finds the port that is full first; nil if one's rate is not known.
func (p Profile) limit(ports []PortLoad, rates map[string]float64, of func(PortLoad) Load) *Limit {
	var first *Limit
	least := math.Inf(1)
	for _, port := range ports {
		load := of(port)
		if load == (Load{}) {
			continue
		}
		room := load.room(rates[port.Node])
		if room == 0 {
			return nil
		}
		if room < least {
			least = room
			first = &Limit{Node: port.Node, Requests: room * p.Requests, Replies: room * p.Requests * p.ReplyBytes * 8, Tokens: room * p.Requests * p.Tokens}
		}
	}
	return first
}

// shares are the weights of the nodes that were probed, as parts of those of all nodes; even ones where there are none.
func (o Observations) shares(weights map[string]float64) map[string]float64 {
	sum := sumOf(weights)
	all := map[string]float64{}
	for _, n := range o.Nodes {
		if all[n.Name] = 1 / float64(o.clusterSize()); sum > 0 {
			all[n.Name] = weights[n.Name] / sum
		}
	}
	return all
}

// podWeights are the profile's shares of replies, or the services' pods.
func (o Observations) podWeights() map[string]float64 {
	if len(o.Profile.Pods) > 0 {
		return o.Profile.Pods
	}
	return endpointsOf(o.Services)
}

// Shares are the shares of calls that enter at each node that was probed, and that its pods answer, as parts of one, as Predict takes them. There
// must be a profile.
func (o Observations) Shares() (entry, pods map[string]float64) {
	return o.shares(o.Profile.Entry), o.shares(o.podWeights())
}

func endpointsOf(services []Service) map[string]float64 {
	all := map[string]float64{}
	for _, s := range services {
		if answersAcrossNodes(s) {
			for node, n := range s.Endpoints {
				all[node] += float64(n)
			}
		}
	}
	return all
}

// Pods are how many pods each node has of the services that DSR is about. Services of a namespace with the same selector have the same pods.
func (o Observations) Pods() map[string]int {
	type key struct{ namespace, selector string }
	bySelector := map[key]map[string]int{}
	for _, s := range o.Services {
		if !answersAcrossNodes(s) {
			continue
		}
		k := key{s.Service.Namespace, labels.SelectorFromSet(s.Service.Spec.Selector).String()}
		if k.selector == "" {
			k.selector = "of service " + s.Service.Name // its endpoints are set by hand
		}
		if bySelector[k] == nil {
			bySelector[k] = map[string]int{}
		}
		for node, n := range s.Endpoints {
			bySelector[k][node] = max(bySelector[k][node], n)
		}
	}
	all := map[string]int{}
	for _, pods := range bySelector {
		for node, n := range pods {
			all[node] += n
		}
	}
	return all
}

// check refuses what is no load.
func (p *Profile) check(node func(where, name string)) error {
	if p == nil {
		return nil
	}
	for _, one := range []struct {
		field string
		v     float64
	}{{"requestsPerSecond", p.Requests}, {"requestBytes", p.RequestBytes}, {"replyBytes", p.ReplyBytes}} {
		if !(one.v > 0) || math.IsInf(one.v, 0) {
			return fmt.Errorf("profile.%s: found %v (want more than 0)", one.field, one.v)
		}
	}
	for _, one := range []struct {
		field   string
		weights map[string]float64
	}{{"entry", p.Entry}, {"pods", p.Pods}} {
		for _, name := range slices.Sorted(maps.Keys(one.weights)) {
			node("profile."+one.field, name)
			if !(one.weights[name] >= 0) {
				return fmt.Errorf("profile.%s: found %v for %s (want 0 or more)", one.field, one.weights[name], name)
			}
		}
	}
	if !(p.ReplyPackets >= 0) || !(p.Tokens >= 0) {
		return fmt.Errorf("profile: found %v packets and %v tokens in a reply (want 0 or more)", p.ReplyPackets, p.Tokens)
	}
	if a := p.Acknowledgements; a != nil && !(a.Reply >= 0 && a.Request >= 0) {
		return fmt.Errorf("profile.acknowledgements: found %v of a reply and %v of a request (want 0 or more)", a.Reply, a.Request)
	}
	return nil
}

// Lines says in sentences what the ports carry of the profile.
func (p *Prediction) Lines() []string {
	if p == nil {
		return nil
	}
	name := p.Profile.Name
	if name == "" {
		name = "the profile"
	}
	lines := []string{fmt.Sprintf("Of %s (%.0f requests/s of %.0f bytes, replies of %.0f bytes), by port, over IPv4:", name, p.Profile.Requests, p.Profile.RequestBytes, p.Profile.ReplyBytes)}
	for i, l := range p.Ports {
		if more := len(p.Ports) - i; i == maxPlaces && more > 1 {
			lines = append(lines, fmt.Sprintf("and %d more ports.", more))
			break
		}
		lines = append(lines, fmt.Sprintf("%s: %s in and %s out now, %s and %s under DSR.", l.Node, rate(l.Now.BytesIn), rate(l.Now.BytesOut), rate(l.DSR.BytesIn), rate(l.DSR.BytesOut)))
	}
	for _, one := range []struct {
		when  string
		limit *Limit
	}{{"Now", p.Now}, {"Under DSR", p.DSR}} {
		if one.limit == nil {
			continue
		}
		tokens := ""
		if one.limit.Tokens > 0 {
			tokens = fmt.Sprintf(", %.0f tokens/s", one.limit.Tokens)
		}
		lines = append(lines, fmt.Sprintf("%s the first port is full, that of %s, at %.0f requests/s: %s of replies%s.", one.when, one.limit.Node, one.limit.Requests, rate(one.limit.Replies/8), tokens))
	}
	return lines
}

// GainLines says in sentences what would be gained, as far as there are counters or a profile.
func (r *Report) GainLines() []string {
	return slices.Concat(r.Gain.Lines(), r.Prediction.Lines(), r.Replay.Lines())
}
