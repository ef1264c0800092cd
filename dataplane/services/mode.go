package services

import (
	"fmt"
	"strings"
)

// ModeAnnotation on a Service sets its forwarding mode; without it Options.Mode holds.
const ModeAnnotation = "dsrlab.dev/forwarding-mode"

// Mode says how requests travel from the LB node to a backend on another node, and answers back.
type Mode string

const (
	// ModeSNAT gives requests the LB node's address, so that answers come back through it.
	ModeSNAT Mode = "snat"
	// ModeDSR keeps the client's address; the pod node answers the client directly.
	ModeDSR Mode = "dsr"
	// ModeHybrid is ModeDSR for TCP and ModeSNAT for UDP. A Frontend never has it: it has what it comes to.
	ModeHybrid Mode = "hybrid"
)

// ParseMode reads a mode as written in annotations and on the command line. It does not fold case.
func ParseMode(text string) (Mode, error) {
	switch mode := Mode(text); mode {
	case ModeSNAT, ModeDSR, ModeHybrid:
		return mode, nil
	}
	return "", fmt.Errorf("unknown forwarding mode %q (want snat, dsr or hybrid)", text)
}

// For is the mode that m comes to for one protocol: snat or dsr.
func (m Mode) For(protocol Protocol) Mode {
	if m != ModeHybrid {
		return m
	}
	if protocol == TCP {
		return ModeDSR
	}
	return ModeSNAT
}

// SelectionAnnotation on a Service sets how new flows find their backend: consistent (default) or random.
const SelectionAnnotation = "dsrlab.dev/selection"

// Selection is how a new flow finds its backend.
type Selection string

const (
	// SelectionConsistent follows from the flow and the backends alone (rendezvous hashing), so another LB node chooses the same
	// backend, and of n backends one that comes or goes moves one in n flows.
	SelectionConsistent Selection = "consistent"
	// SelectionRandom draws one, by weight; nodes do not agree.
	SelectionRandom Selection = "random"
)

// ParseSelection reads a selection as written in annotations. It does not fold case.
func ParseSelection(text string) (Selection, error) {
	switch selection := Selection(text); selection {
	case SelectionConsistent, SelectionRandom:
		return selection, nil
	}
	return "", fmt.Errorf("unknown selection %q (want consistent or random)", text)
}

// Protocol is an IP protocol number (IANA "Protocol Numbers").
type Protocol uint8

const (
	TCP Protocol = 6
	UDP Protocol = 17
)

// String is the name that Kubernetes uses: TCP or UDP.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	}
	return fmt.Sprintf("Protocol(%d)", uint8(p))
}

// MarshalText writes the name.
func (p Protocol) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads a name, in any case.
func (p *Protocol) UnmarshalText(text []byte) error {
	switch strings.ToUpper(string(text)) {
	case "TCP":
		*p = TCP
	case "UDP":
		*p = UDP
	default:
		return fmt.Errorf("parse protocol: %q is not balanced, use TCP or UDP", text)
	}
	return nil
}

// Kind says what kind of address a frontend has.
type Kind string

const (
	KindLoadBalancer Kind = "LoadBalancer"
	KindNodePort     Kind = "NodePort"
	KindExternalIP   Kind = "ExternalIP"
	KindClusterIP    Kind = "ClusterIP"
)
