package assess

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"sigs.k8s.io/yaml"

	"github.com/dsrlab/dsrlab/internal/bounded"
)

// maxValues bounds the values that a file of observations may have: that of 100 nodes, each of which probes each other, has a million.
const maxValues = 4 << 20

// Read reads observations from a file in JSON or YAML, as Observations.JSON writes them.
func Read(file string) (Observations, error) {
	data, err := bounded.ReadFile(file, bounded.Records)
	if err != nil {
		return Observations{}, err
	}
	o, err := Parse(data)
	if err != nil {
		return Observations{}, fmt.Errorf("%s: %w", file, err)
	}
	return o, nil
}

// Parse reads observations from a document in JSON or YAML. Unknown fields are an error: they may be observations that it would not judge.
func Parse(document []byte) (Observations, error) {
	if err := bounded.CheckValues("observations", document, maxValues); err != nil {
		return Observations{}, err
	}
	var head struct {
		Schema string `json:"schema"`
	}
	if err := yaml.Unmarshal(document, &head); err != nil {
		return Observations{}, fmt.Errorf("read observations: %w", err)
	}
	if head.Schema != Schema {
		return Observations{}, fmt.Errorf("schema: unknown version %q (want %s)", head.Schema, Schema)
	}
	var o Observations
	if err := yaml.UnmarshalStrict(document, &o); err != nil {
		return Observations{}, fmt.Errorf("read observations: %w", err)
	}
	return o, o.check()
}

// ReadProfile reads a profile from a file in JSON or YAML. Whether its nodes exist is not checked: WithProfile does.
func ReadProfile(file string) (Profile, error) {
	data, err := bounded.ReadFile(file, bounded.Records)
	if err != nil {
		return Profile{}, err
	}
	if err := bounded.CheckValues("profile", data, maxValues); err != nil {
		return Profile{}, err
	}
	var p Profile
	if err := yaml.UnmarshalStrict(data, &p); err != nil {
		return Profile{}, fmt.Errorf("%s: read profile: %w", file, err)
	}
	if err := p.check(func(string, string) {}); err != nil {
		return Profile{}, fmt.Errorf("%s: %w", file, err)
	}
	return p, nil
}

// WithProfile returns the observations with another profile, whose nodes must be theirs.
func (o Observations) WithProfile(p Profile) (Observations, error) {
	o.Profile = &p
	return o, o.check()
}

// JSON returns the observations as Parse reads them.
func (o Observations) JSON() ([]byte, error) {
	o.Schema = Schema
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(o)
	return b.Bytes(), err
}

// maxNodes bounds the nodes: each pair of them has a verdict.
const maxNodes = 250

// names are those of the nodes that were probed and of the others, with what is wrong with them.
func (o Observations) names() (probed, others map[string]bool, problems []error) {
	probed, others = map[string]bool{}, map[string]bool{}
	const want = "want a name that no other node has"
	for i, n := range o.Nodes {
		if n.Name == "" || probed[n.Name] {
			problems = append(problems, fmt.Errorf("nodes[%d].name: found %q (%s)", i, n.Name, want))
		}
		probed[n.Name] = true
	}
	for i, name := range o.OtherNodes {
		if name == "" || probed[name] || others[name] {
			problems = append(problems, fmt.Errorf("otherNodes[%d]: found %q (%s)", i, name, want))
		}
		others[name] = true
	}
	return probed, others, problems
}

// check refuses numbers that no prober counts, and probes of nodes that there are not.
func (o Observations) check() error {
	if len(o.Nodes) > maxNodes {
		return fmt.Errorf("nodes: found %d (want at most %d)", len(o.Nodes), maxNodes)
	}
	known, others, all := o.names()
	node := func(where, name string) {
		if name == "" || !known[name] {
			all = append(all, fmt.Errorf("%s: unknown node %q (want one of nodes)", where, name))
		}
	}
	counts := func(where string, sent, seen int) {
		if sent < 0 || seen < 0 || seen > sent {
			all = append(all, fmt.Errorf("%s: found %d sent, %d seen (want not more seen than sent)", where, sent, seen))
		}
	}
	for i, p := range o.Spoof {
		where := fmt.Sprintf("spoof[%d]", i)
		node(where+".node", p.Node)
		counts(where, p.Sent, p.Arrived)
		if !p.Source.IsValid() {
			all = append(all, fmt.Errorf("%s.source: found none (want an address)", where))
		}
	}
	for i, p := range o.Direct {
		where := fmt.Sprintf("direct[%d]", i)
		node(where+".to", p.To)
		counts(where, p.Sent, p.Arrived)
		if p.Delivered != nil {
			counts(where+".delivered", p.Arrived, *p.Delivered)
		}
	}
	for i, p := range o.Tunnel {
		where := fmt.Sprintf("tunnel[%d]", i)
		node(where+".from", p.From)
		node(where+".to", p.To)
		counts(where, p.Sent, p.Arrived)
		counts(where+".badChecksum", p.Arrived, p.BadChecksum)
	}
	for i, p := range o.WayBack {
		where := fmt.Sprintf("wayBack[%d]", i)
		if p.SYNs > 0 { // else no node is known to be the entry, and none answers
			node(where+".entry", p.Entry)
			node(where+".answer", p.Answer)
		}
		counts(where+".syns", p.Opened, p.SYNs)
	}
	all = append(all, o.Profile.check(func(where, name string) {
		if !others[name] {
			node(where, name)
		}
	}))
	return errors.Join(all...)
}
