package dataplane

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// Reason says what happened to a packet; see enum reason in bpf/reasons.h.
type Reason = bpf.DatapathReason

// IsDrop tells drops from all else.
func IsDrop(r Reason) bool { return r >= bpf.DatapathReasonREASON_DROP_FIRST }

// Verdict is what became of packets of a reason: "dropped", "forwarded", or "to-stack" where they were left to the kernel's stack,
// which routes, filters and may still drop them.
func Verdict(r Reason) string {
	switch {
	case IsDrop(r):
		return "dropped"
	case r == bpf.DatapathReasonREASON_NOT_OURS || r == bpf.DatapathReasonREASON_TO_NETWORK:
		return "to-stack"
	}
	return "forwarded"
}

// Names gives the C enums' values the names that people read: REASON_DROP_NO_POD is "no pod". They come from the type
// information in the object, so there is no second list of them.
type Names struct {
	reasons map[Reason]string
}

// LoadNames reads the names.
func LoadNames() (*Names, error) {
	spec, err := bpf.LoadDatapath()
	if err != nil {
		return nil, fmt.Errorf("read names: %w", err)
	}
	var enum *btf.Enum
	if err := spec.Types.TypeByName("reason", &enum); err != nil {
		return nil, fmt.Errorf("read names: %w", err)
	}
	n := &Names{reasons: make(map[Reason]string)}
	for _, v := range enum.Values {
		if v.Name == "REASON_DROP_FIRST" || v.Name == "REASON_COUNT" {
			continue
		}
		name := strings.TrimPrefix(strings.TrimPrefix(v.Name, "REASON_"), "DROP_")
		n.reasons[Reason(v.Value)] = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	}
	return n, nil
}

// Reason is the name of r, as in "to-overlay-dsr" or "no-backend".
func (n *Names) Reason(r Reason) string {
	if name, ok := n.reasons[r]; ok {
		return name
	}
	return fmt.Sprintf("reason-%d", r)
}

// Reasons are all reasons in the order of their values.
func (n *Names) Reasons() []Reason {
	var all []Reason
	for r := range bpf.DatapathReasonREASON_COUNT {
		if _, ok := n.reasons[r]; ok {
			all = append(all, r)
		}
	}
	return all
}
