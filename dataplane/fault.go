package dataplane

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// Fault breaks a node's data path on purpose: a lab that still passes with it would not notice the real thing, and people can
// see what breaks. It is a constant of the programs, so where there is none the verifier takes its code out, and it holds until
// they are loaded again.
type Fault string

const (
	// FaultNone is a data path that does what it should.
	FaultNone Fault = ""
	// FaultNoOption is an LB node that never writes the DSR option. The pod node learns no frontend, and drops the packets
	// (no-flow): their answers would leak.
	FaultNoOption Fault = "no-option"
	// FaultNoReplyRewrite is a node whose pods' answers to DSR flows, and to flows that entered the cluster by the same node,
	// go straight to the client from the pod's own address and port. The flow is known, so the check for leaks lets them
	// out, and they are counted as reply-direct. Clients refuse them.
	FaultNoReplyRewrite Fault = "no-reply-rewrite"
	// FaultSNAT is an LB node that forwards as SNAT does, although the tables say DSR and go on saying it. Connections work,
	// pods see the LB node, and answers go back through it. Pods of the LB node itself see the client in every mode.
	FaultSNAT Fault = "snat"
)

// Faults are all that can be broken.
func Faults() []Fault { return []Fault{FaultNoOption, FaultNoReplyRewrite, FaultSNAT} }

// ParseFault reads a fault's name; the empty one is FaultNone.
func ParseFault(text string) (Fault, error) {
	f := Fault(text)
	if f == FaultNone || slices.Contains(Faults(), f) {
		return f, nil
	}
	var names []string
	for _, known := range Faults() {
		names = append(names, string(known))
	}
	return FaultNone, fmt.Errorf("fault %q: must be %s, or empty for none", text, strings.Join(names, ", "))
}

// faultNumber is a fault as the programs know it.
func faultNumber(f Fault) bpf.DatapathFault {
	return map[Fault]bpf.DatapathFault{
		FaultNoOption: bpf.DatapathFaultFAULT_NO_OPTION, FaultNoReplyRewrite: bpf.DatapathFaultFAULT_NO_REPLY_REWRITE, FaultSNAT: bpf.DatapathFaultFAULT_SNAT,
	}[f]
}
