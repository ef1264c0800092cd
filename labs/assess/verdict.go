package assess

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// onPair is the verdict on requests that enter at one node and are answered by the other.
func (r *Report) onPair(p Pair) PairVerdict {
	v := PairVerdict{Pair: p, Verdict: Works}
	for _, f := range r.Findings {
		if f.Hurts == HurtsVIP && len(f.Frontends) > 0 || !f.touches(p) {
			continue
		}
		v.Verdict = worse(v.Verdict, f.Verdict)
		v.Why = appendNew(v.Why, string(joined(f.Causes)))
	}
	for _, u := range r.Unknown {
		if u.Frontend == nil && u.Services == nil && (u.Pair == nil || *u.Pair == p) && (u.Node == "" || u.Node == p.To) {
			v.Verdict = worse(v.Verdict, NotKnown)
			v.Why = appendNew(v.Why, "not known: "+u.What)
		}
	}
	return v
}

// touches reports whether a finding is about the pair: the path between, or what the answering node sends.
func (f *Finding) touches(p Pair) bool {
	return slices.Contains(f.Pairs, p) || slices.Contains(f.Nodes, p.To)
}

// onService is the verdict on a service. Own are the nodes' addresses.
func (r *Report) onService(s Service, o Observations, own map[netip.Addr]bool) ServiceVerdict {
	v := ServiceVerdict{Name: nameOf(s.Service), Verdict: Works, Effects: effectsOf(s, o, own)}
	if !answersAcrossNodes(s) {
		v.Verdict = Unaffected
		return v
	}
	vips := len(vipsOf(s.Service, own)) > 0
	for _, f := range r.Findings {
		if f.concerns(s, v.Name, vips, o.Nodes) {
			v.Verdict = worse(v.Verdict, f.Verdict)
			v.Why = appendNew(v.Why, string(joined(f.Causes)))
		}
	}
	for _, u := range r.Unknown {
		if u.concerns(s, v.Name) {
			v.Verdict = worse(v.Verdict, NotKnown)
			v.Why = appendNew(v.Why, "not known: "+u.What)
		}
	}
	return v
}

// concerns reports whether a finding is about the service: its frontends, its nodes that have pods, and their way from others.
func (f *Finding) concerns(s Service, name string, vips bool, nodes []Node) bool {
	if f.Hurts == HurtsVIP && !vips || f.Hurts == HurtsNodePorts && vips && len(f.Frontends) == 0 {
		return false // a service that has a VIP is called by it
	}
	if len(f.Frontends) > 0 {
		return slices.ContainsFunc(f.Frontends, func(one Frontend) bool { return one.Service == name || one.Service == "" && (one.Kind == VIP) == vips })
	}
	if f.Hurts == HurtsTCP && !slices.Contains(protocolsOf(s.Service), "TCP") {
		return false
	}
	return slices.ContainsFunc(nodes, func(n Node) bool {
		if !s.mayAnswer(n.Name) {
			return false
		}
		return slices.Contains(f.Nodes, n.Name) || slices.ContainsFunc(f.Pairs, func(p Pair) bool { return p.To == n.Name })
	})
}

func (u *Unknown) concerns(s Service, name string) bool {
	switch {
	case u.Frontend != nil:
		return u.Frontend.Service == name
	case u.Services != nil:
		return slices.Contains(u.Services, name)
	case u.Pair != nil:
		return s.mayAnswer(u.Pair.To)
	case u.Node != "":
		return s.mayAnswer(u.Node)
	}
	return true
}

// overall is the worst verdict there is. Where there is a finding that is certain, that some things are not known does not matter.
func (r *Report) overall() Verdict {
	v := Works
	for _, f := range r.Findings {
		v = worse(v, f.Verdict)
	}
	if len(r.Unknown) > 0 {
		v = worse(v, NotKnown)
	}
	return v
}

func appendNew(all []string, one string) []string {
	if slices.Contains(all, one) {
		return all
	}
	return append(all, one)
}

// appendName is appendNew for all but an empty name.
func appendName(all []string, name string) []string {
	if name == "" {
		return all
	}
	return appendNew(all, name)
}

// maxPlaces is how many places Where names.
const maxPlaces = 8

// Where names the places of a finding: all of them, or the first and how many more there are.
func (f *Finding) Where() string {
	all := slices.Clone(f.Nodes)
	for _, p := range f.Pairs {
		all = append(all, p.String())
	}
	for _, one := range f.Frontends {
		text := one.Address.String()
		if one.Service != "" {
			text = one.Service + " (" + text + ")"
		}
		all = append(all, text)
	}
	if more := len(all) - maxPlaces; more > 1 {
		all = append(all[:maxPlaces], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(all, ", ")
}
