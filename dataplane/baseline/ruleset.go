package baseline

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// ruleset is one table as it shall be: what is printed and what is installed come from the same value.
type ruleset struct {
	family family
	table  string
	sets   []*set
	chains []*chain

	chainByName map[string]*chain
}

// family is an address family with a table of its own.
type family struct{ is6 bool }

// String is the name of the family in nft.
func (f family) String() string {
	if f.is6 {
		return "ip6"
	}
	return "ip"
}

// has reports whether an address is of the family.
func (f family) has(a netip.Addr) bool { return a.IsValid() && a.Is6() == f.is6 }

// keyType is what the elements of a set are looked up by.
type keyType int

const (
	keyAddress  keyType = iota // an address
	keyService                 // an address, protocol and port
	keyNodePort                // a protocol and port
)

// set is a named set, or a map to verdicts.
type set struct {
	name     string
	comment  string
	key      keyType
	verdicts bool
	timeout  time.Duration // of elements that rules add; 0: rules add none
	elements []element
	has      map[elementKey]bool
}

// elementKey is what must differ between elements of a set.
type elementKey struct {
	address  netip.Addr
	protocol services.Protocol
	port     uint16
}

// put adds an element unless the set has its key.
func (s *set) put(e element) {
	key := elementKey{e.address, e.protocol, e.port}
	if s.has[key] {
		return
	}
	if s.has == nil {
		s.has = map[elementKey]bool{}
	}
	s.has[key] = true
	s.elements = append(s.elements, e)
}

// element is what a set has in it. Which fields are part of the key depends on the set.
type element struct {
	address  netip.Addr
	protocol services.Protocol
	port     uint16
	comment  string
	verdict  verdict
}

// chain is a list of rules; with a hook, one that packets enter by themselves.
type chain struct {
	name  string
	hook  *hook
	rules []rule
}

// hook is where a base chain is attached, numbers as in the kernel (enum nf_inet_hooks).
type hook struct {
	kind     string // filter or nat
	name     string // prerouting, input, forward, output, postrouting
	priority int
}

type rule struct {
	statements []statement
	comment    string
}

// add appends a rule.
func (c *chain) add(statements ...statement) { c.addCommented("", statements...) }

// addCommented appends a rule. The first rule of a chain without hook counts what enters the chain: with kube-proxy's structure
// that is the first packet of a connection, so that counting costs running transfers nothing.
func (c *chain) addCommented(comment string, statements ...statement) {
	if c.hook == nil && len(c.rules) == 0 {
		statements = append([]statement{counter{}}, statements...)
	}
	c.rules = append(c.rules, rule{statements, comment})
}

// chain finds a chain, or makes it.
func (r *ruleset) chain(name string) *chain {
	if c := r.chainByName[name]; c != nil {
		return c
	}
	c := &chain{name: name}
	r.chains = append(r.chains, c)
	if r.chainByName == nil {
		r.chainByName = map[string]*chain{}
	}
	r.chainByName[name] = c
	return c
}

// set finds a set that is known to exist.
func (r *ruleset) set(name string) *set {
	for _, s := range r.sets {
		if s.name == name {
			return s
		}
	}
	panic("baseline: no set " + name) // a bug in this package: names are constants
}

// String prints the table in the language of nft, as `nft -f` reads it.
func (r *ruleset) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "table %s %s {\n", r.family, r.table)
	for _, s := range r.sets {
		s.print(&b, r.family)
	}
	for _, c := range r.chains {
		c.print(&b, r.family)
	}
	b.WriteString("}\n")
	return b.String()
}

func (s *set) print(b *strings.Builder, f family) {
	kind, data := "set", ""
	if s.verdicts {
		kind, data = "map", " : verdict"
	}
	fmt.Fprintf(b, "\t%s %s {\n\t\ttype %s%s\n", kind, s.name, s.key.text(f), data)
	if s.timeout > 0 {
		fmt.Fprintf(b, "\t\tflags dynamic,timeout\n\t\ttimeout %ds\n", s.timeout/time.Second)
	}
	if s.comment != "" {
		fmt.Fprintf(b, "\t\tcomment %q\n", s.comment)
	}
	if len(s.elements) > 0 {
		b.WriteString("\t\telements = {\n")
		for _, e := range s.elements {
			b.WriteString("\t\t\t" + s.key.element(e))
			if e.comment != "" {
				fmt.Fprintf(b, " comment %q", e.comment)
			}
			if s.verdicts {
				b.WriteString(" : " + e.verdict.text(f))
			}
			b.WriteString(",\n")
		}
		b.WriteString("\t\t}\n")
	}
	b.WriteString("\t}\n")
}

func (k keyType) text(f family) string {
	address := "ipv4_addr"
	if f.is6 {
		address = "ipv6_addr"
	}
	switch k {
	case keyAddress:
		return address
	case keyService:
		return address + " . inet_proto . inet_service"
	}
	return "inet_proto . inet_service"
}

func (k keyType) element(e element) string {
	switch k {
	case keyAddress:
		return e.address.String()
	case keyService:
		return fmt.Sprintf("%s . %s . %d", e.address, protocolName(e.protocol), e.port)
	}
	return fmt.Sprintf("%s . %d", protocolName(e.protocol), e.port)
}

func (c *chain) print(b *strings.Builder, f family) {
	fmt.Fprintf(b, "\tchain %s {\n", c.name)
	if c.hook != nil {
		fmt.Fprintf(b, "\t\ttype %s hook %s priority %d; policy accept;\n", c.hook.kind, c.hook.name, c.hook.priority)
	}
	for _, r := range c.rules {
		texts := make([]string, len(r.statements))
		for i, s := range r.statements {
			texts[i] = s.text(f)
		}
		b.WriteString("\t\t" + strings.Join(texts, " "))
		if r.comment != "" {
			fmt.Fprintf(b, " comment %q", r.comment)
		}
		b.WriteByte('\n')
	}
	b.WriteString("\t}\n")
}
