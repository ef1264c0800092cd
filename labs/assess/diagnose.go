package assess

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Diagnose judges what was observed. The report does not depend on the order of nodes, services or probes.
//
// Each rule names the causes that the evidence allows, by ruling out those that it contradicts. What was not tried leads to no
// finding, and keeps the verdict from being "works".
func Diagnose(o Observations) Report {
	j := newJudge(o)
	for _, name := range j.names {
		for _, f := range j.families {
			j.node(name, f)
			j.arrival(name, f)
		}
		j.rules(name)
	}
	for _, pair := range j.pairs() {
		for _, f := range j.families {
			j.tunnel(pair, f)
			j.pause(pair, f)
		}
	}
	j.wayIn()
	j.unjudged()
	j.untried()
	if len(j.names) == 0 {
		j.miss(Unknown{What: "the cluster's nodes"})
	}
	provider := providerOf(o.Nodes)
	r := Report{
		Schema: Schema, When: o.When, Of: o.Of, Findings: merge(j.signs, provider), Unknown: j.unknown, Unread: o.Unread,
		Pairs: []PairVerdict{}, Services: []ServiceVerdict{}, Gain: gainOf(o), Prediction: Predict(o),
	}
	if provider != nil {
		r.Provider = provider.Name
	}
	for _, name := range j.names {
		r.Nodes = append(r.Nodes, j.nodes[name])
		r.CNI, r.Proxies = appendName(r.CNI, j.nodes[name].CNI), appendName(r.Proxies, j.nodes[name].ProxyMode)
	}
	slices.Sort(r.CNI)
	slices.Sort(r.Proxies)
	for _, pair := range j.pairs() {
		r.Pairs = append(r.Pairs, r.onPair(pair))
	}
	for _, s := range sortedServices(o.Services) {
		r.Services = append(r.Services, r.onService(s, o, j.own))
	}
	r.Verdict = r.overall()
	return r
}

// sign is what one rule has found in one place. Signs of the same causes become one finding.
type sign struct {
	causes   []Cause
	possible bool // and not certain
	hurts    Hurts
	family   family
	node     string // or pair, or frontend
	pair     Pair
	frontend *Frontend
	evidence []Evidence
}

// judge holds what the rules have in common.
type judge struct {
	o        Observations
	nodes    map[string]Node
	names    []string            // of the nodes, sorted
	families []family            // that the client and all nodes have
	own      map[netip.Addr]bool // the nodes' addresses
	vips     map[family]bool     // whether clients call VIPs
	// Probes by who sends, receives or answers: each rule looks at those of its place only.
	spoof    map[string][]SpoofProbe
	direct   map[string][]DirectProbe
	between  map[Pair][]TunnelProbe
	wayBacks map[Pair][]WayBackProbe
	signs    []sign
	unknown  []Unknown
}

func newJudge(o Observations) *judge {
	j := &judge{
		o: o, nodes: map[string]Node{}, spoof: map[string][]SpoofProbe{}, direct: map[string][]DirectProbe{},
		between: map[Pair][]TunnelProbe{}, wayBacks: map[Pair][]WayBackProbe{},
	}
	j.sort()
	j.own = o.ownAddresses()
	j.vips = map[family]bool{ipv4: j.callsVIPs(ipv4), ipv6: j.callsVIPs(ipv6)}
	for _, n := range o.Nodes {
		j.nodes[n.Name] = n
	}
	j.names = slices.Sorted(maps.Keys(j.nodes))
	for _, f := range []family{ipv4, ipv6} {
		if len(j.lacking(f)) == 0 {
			j.families = append(j.families, f)
		}
	}
	if len(j.families) == 0 && len(j.names) > 0 {
		j.miss(Unknown{What: "an address family that the client and all nodes have"})
	}
	return j
}

// sort puts each probe where the rules look for it.
func (j *judge) sort() {
	for _, p := range j.o.Spoof {
		j.spoof[p.Node] = append(j.spoof[p.Node], p)
	}
	for _, p := range j.o.Direct {
		j.direct[p.To] = append(j.direct[p.To], p)
	}
	for _, p := range j.o.Tunnel {
		pair := Pair{p.From, p.To}
		j.between[pair] = append(j.between[pair], p)
	}
	for _, p := range j.o.WayBack {
		pair := Pair{p.Entry, p.Answer}
		j.wayBacks[pair] = append(j.wayBacks[pair], p)
	}
}

// usable reports whether an address can be called from another network.
func usable(a netip.Addr) bool { return a.IsValid() && !a.IsLinkLocalUnicast() && !a.IsLoopback() }

func (j *judge) found(s sign)   { j.signs = append(j.signs, s) }
func (j *judge) miss(u Unknown) { j.unknown = append(j.unknown, u) }

// pairs are all pairs of different nodes, in the order of names.
func (j *judge) pairs() []Pair {
	var all []Pair
	for _, from := range j.names {
		for _, to := range j.names {
			if from != to {
				all = append(all, Pair{from, to})
			}
		}
	}
	return all
}

// blames reports whether a rule has found the cause at the node already.
func (j *judge) blames(node string, c Cause) bool {
	return slices.ContainsFunc(j.signs, func(s sign) bool { return s.node == node && slices.Contains(s.causes, c) })
}

// merge makes findings of signs, one for each set of causes, and sorts them by who gets hurt, then by how many are.
func merge(signs []sign, provider *Provider) []Finding {
	type key struct {
		causes   string
		possible bool
		hurts    Hurts
	}
	byKey, seen := map[key]*Finding{}, map[key]map[Evidence]bool{}
	for _, s := range signs {
		k := key{string(joined(s.causes)), s.possible, s.hurts}
		f := byKey[k]
		if f == nil {
			f = newFinding(s, provider)
			byKey[k], seen[k] = f, map[Evidence]bool{}
		}
		f.add(s, seen[k])
	}
	findings := []Finding{}
	for _, f := range byKey {
		slices.Sort(f.Nodes)
		slices.SortFunc(f.Pairs, comparePairs)
		f.Nodes, f.Pairs = slices.Compact(f.Nodes), slices.Compact(f.Pairs)
		slices.SortStableFunc(f.Evidence, func(a, b Evidence) int { return cmp.Compare(a.Node, b.Node) })
		slices.Sort(f.Families)
		f.Families = slices.Compact(f.Families)
		findings = append(findings, *f)
	}
	slices.SortFunc(findings, func(a, b Finding) int {
		return cmp.Or(
			boolOrder(b.Certain)-boolOrder(a.Certain),
			cmp.Compare(a.Hurts.rank(), b.Hurts.rank()),
			-cmp.Compare(a.places(), b.places()),
			cmp.Compare(joined(a.Causes), joined(b.Causes)),
		)
	})
	return findings
}

func boolOrder(b bool) int {
	if b {
		return 1
	}
	return 0
}

func joined(causes []Cause) Cause {
	var all Cause
	for i, c := range causes {
		if i > 0 {
			all += " or "
		}
		all += c
	}
	return all
}

func (f *Finding) places() int { return len(f.Nodes) + len(f.Pairs) + len(f.Frontends) }

// add adds the place and the evidence of a sign. Seen is the evidence that the finding has.
func (f *Finding) add(s sign, seen map[Evidence]bool) {
	switch {
	case s.frontend != nil:
		if !slices.Contains(f.Frontends, *s.frontend) {
			f.Frontends = append(f.Frontends, *s.frontend)
		}
	case s.pair != Pair{}:
		f.Pairs = append(f.Pairs, s.pair)
	default:
		f.Nodes = append(f.Nodes, s.node)
	}
	for _, e := range s.evidence {
		if !seen[e] {
			seen[e] = true
			f.Evidence = append(f.Evidence, e)
		}
	}
	f.Families = append(f.Families, s.family.String())
}

// newFinding is a finding of the sign's causes, with no place yet. Where there are several causes it speaks of each.
func newFinding(s sign, provider *Provider) *Finding {
	f := &Finding{Causes: s.causes, Certain: !s.possible, Hurts: s.hurts, Verdict: Wont}
	var meanings, remedies []string
	for i, c := range s.causes {
		info := c.Info()
		if i == 0 {
			f.Consequence, f.Lab = info.Consequence, info.Lab
		}
		meanings = appendNew(meanings, info.Meaning)
		if provider != nil && slices.Contains(provider.Causes, c) {
			info.Remedy, info.Verdict = provider.remedy(info)
			f.Commands, f.Source = provider.Commands, provider.Source
		}
		remedies = appendNew(remedies, info.Remedy)
		if info.Verdict == WorksIf {
			f.Verdict = WorksIf // as long as it may be one that a setting changes
		}
	}
	f.Meaning, f.Remedy = strings.Join(meanings, " Or: "), strings.Join(remedies, " Or: ")
	if f.Source == NotVerified {
		f.Remedy += " How " + provider.Name + " does that was not found."
	}
	if s.possible {
		f.Verdict = NotKnown
	}
	return f
}
