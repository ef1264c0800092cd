package assess

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Verdict is whether DSR would work.
type Verdict string

// The verdicts, from the worst to the best.
const (
	Wont       Verdict = "won't"
	WorksIf    Verdict = "works if"
	NotKnown   Verdict = "not known"
	Works      Verdict = "works"
	Unaffected Verdict = "not affected" // of a service that DSR changes nothing about
)

func (v Verdict) rank() int {
	return slices.Index([]Verdict{Wont, WorksIf, NotKnown, Works, Unaffected}, v)
}

// worse returns the worse of two verdicts.
func worse(a, b Verdict) Verdict {
	if b.rank() < a.rank() {
		return b
	}
	return a
}

// Hurts is who is worse off because of a finding.
type Hurts string

// Who may be hurt, in the order in which findings are sorted.
const (
	HurtsEveryone  Hurts = "clients whose pod is not on the node they called"
	HurtsVIP       Hurts = "clients of VIPs"
	HurtsNodePorts Hurts = "clients of node addresses (NodePort)"
	HurtsTCP       Hurts = "all TCP connections"
	HurtsPairs     Hurts = "clients whose request crosses these nodes"
	HurtsLarge     Hurts = "requests that fill a packet"
	HurtsIdle      Hurts = "connections that pause"
)

func (h Hurts) rank() int {
	return slices.Index([]Hurts{HurtsEveryone, HurtsVIP, HurtsNodePorts, HurtsTCP, HurtsPairs, HurtsLarge, HurtsIdle}, h)
}

// Pair is two nodes: where a request enters, and the node of the pod that answers.
type Pair struct {
	From string `json:"from"`
	To   string `json:"to"`
}

func (p Pair) String() string { return p.From + " → " + p.To }

// ComparePairs orders pairs by name.
func comparePairs(a, b Pair) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) }

// Evidence is one thing that was tried, and what was seen of it.
type Evidence struct {
	// Node names the sender, or the pair of nodes.
	Node string `json:"node,omitempty"`
	// What was sent, in words.
	What string `json:"what"`
	// Sent and Seen are numbers of packets; both are 0 where something was read, and nothing sent.
	Sent int `json:"sent"`
	Seen int `json:"seen"`
	// Note says what else there was to see; empty if nothing.
	Note string `json:"note,omitempty"`
}

// Counts reports whether the evidence is packets. Else it is something that was read, and the note says what it means.
func (e Evidence) Counts() bool { return e.Sent > 0 || e.Note == "" }

func (e Evidence) String() string {
	text := e.What
	if e.Counts() {
		text = fmt.Sprintf("%s: %d sent, %d arrived", e.What, e.Sent, e.Seen)
	}
	if e.Node != "" {
		text = e.Node + ": " + text
	}
	if e.Note != "" {
		text += "; " + e.Note
	}
	return text
}

// Finding is something that keeps DSR from working, for everybody or for some.
type Finding struct {
	// Causes is the cause; several where the evidence does not tell them apart.
	Causes []Cause `json:"causes"`
	// Certain is false where the evidence allows that there is no harm, too; the verdict is NotKnown then.
	Certain bool    `json:"certain"`
	Verdict Verdict `json:"verdict"`
	Hurts   Hurts   `json:"hurts"`
	// Nodes, Pairs and Frontends are where it was found; at least one is not empty.
	Nodes     []string   `json:"nodes,omitempty"`
	Pairs     []Pair     `json:"pairs,omitempty"`
	Frontends []Frontend `json:"frontends,omitempty"`
	// Families are the address families that it was seen in, IPv4 and IPv6.
	Families    []string   `json:"families"`
	Evidence    []Evidence `json:"evidence"`
	Meaning     string     `json:"meaning"`
	Consequence string     `json:"consequence"`
	// Remedy says what to change; Commands are how, with the provider's own tools where the provider is known.
	Remedy   string   `json:"remedy"`
	Commands []string `json:"commands,omitempty"`
	// Source is where the provider's switch is documented.
	Source string `json:"source,omitempty"`
	// Lab is dsrlab's lab that shows it; empty if none does.
	Lab string `json:"lab,omitempty"`
}

// Unknown is something that had to be tried for a verdict, and was not, or gave no clear answer.
type Unknown struct {
	// What is not known, in words.
	What string `json:"what"`
	// Node, Pair, Frontend and Services are where; at most one is not empty.
	Node     string    `json:"node,omitempty"`
	Pair     *Pair     `json:"pair,omitempty"`
	Frontend *Frontend `json:"frontend,omitempty"`
	Services []string  `json:"services,omitempty"`
}

// PairVerdict is the verdict on requests that enter at one node and are answered by another.
type PairVerdict struct {
	Pair
	Verdict Verdict `json:"verdict"`
	// Why names the causes, or says what is not known.
	Why []string `json:"why,omitempty"`
}

// ServiceVerdict is the verdict on a service, and what changes for it.
type ServiceVerdict struct {
	// Name is namespace/name.
	Name    string   `json:"name"`
	Verdict Verdict  `json:"verdict"`
	Why     []string `json:"why,omitempty"`
	// Effects are what is different under DSR, the network aside.
	Effects []Effect `json:"effects,omitempty"`
}

// Report is the diagnosis of Observations.
type Report struct {
	Schema  string    `json:"schema"`
	When    time.Time `json:"when"`
	Of      string    `json:"of,omitempty"`
	Verdict Verdict   `json:"verdict"`
	// Findings are sorted by who gets hurt.
	Findings []Finding        `json:"findings"`
	Pairs    []PairVerdict    `json:"pairs"`
	Services []ServiceVerdict `json:"services"`
	// Unknown is what a verdict lacks.
	Unknown []Unknown `json:"unknown,omitempty"`
	// Unread is what could not be read or sent, as the prober says.
	Unread []Unread `json:"unread,omitempty"`
	// Gain is what DSR would change at the nodes' ports; nil without counters.
	Gain *Gain `json:"gain,omitempty"`
	// Prediction is what DSR would change for the profile; nil without one.
	Prediction *Prediction `json:"prediction,omitempty"`
	// Replay is the profile as it was run on a testbed; nil if it was not.
	Replay *Replay `json:"replay,omitempty"`
	// Nodes are those that were probed, by their names.
	Nodes []Node `json:"nodes,omitempty"`
	// Provider is who runs the nodes' network, as their provider IDs and labels say; empty if they don't.
	Provider string `json:"provider,omitempty"`
	// CNI and Proxies are the nodes' network plugins and service proxies, each once, sorted; empty if no node names one.
	CNI     []string `json:"cni,omitempty"`
	Proxies []string `json:"serviceProxies,omitempty"`
}
