// Package explain says what each reason of the data path means, what leads to it, and what to do about it. The reasons and their
// meanings come from bpf/reasons.h, all else from bpf/reasons.yaml beside it.
package explain

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// Reason is one reason, explained.
type Reason struct {
	// Name is as in metrics and flows: no-backend.
	Name string `json:"name"`
	// Verdict is dataplane.Verdict's: dropped, forwarded or to-stack.
	Verdict string `json:"verdict"`
	Meaning string `json:"meaning"`
	Cause   string `json:"cause"`
	// Remedy is empty for what is no fault.
	Remedy string `json:"remedy,omitempty"`
	// Lab is one in which packets of this kind are seen; empty where there is none.
	Lab string `json:"lab,omitempty"`
	// Counter is its name in Prometheus' terms.
	Counter string `json:"counter"`
}

// enumerator is a reason in the header, with its comment: REASON_DROP_TTL, /* would have been … */.
var enumerator = regexp.MustCompile(`(?s)REASON_([A-Z_]+)(?: = [0-9]+)?,\s*/\*(.*?)\*/`)

// Reasons returns all reasons, in the order of their values.
func Reasons() ([]Reason, error) {
	var texts map[string]Reason
	if err := yaml.UnmarshalStrict(bpf.ReasonsYAML, &texts); err != nil {
		return nil, fmt.Errorf("read reasons.yaml: %w", err)
	}
	verdicts, err := verdictsByName()
	if err != nil {
		return nil, err
	}
	var all []Reason
	var errs []error
	for _, found := range enumerator.FindAllStringSubmatch(bpf.ReasonsHeader, -1) {
		if found[1] == "DROP_FIRST" { // a bound, no reason
			continue
		}
		r := Reason{Name: Canonical(found[1]), Meaning: sentence(found[2])}
		r.Verdict = verdicts[r.Name]
		text, explained := texts[r.Name]
		if !explained {
			errs = append(errs, fmt.Errorf("reasons.yaml: %s: missing", r.Name))
		}
		delete(texts, r.Name)
		r.Cause, r.Remedy, r.Lab = text.Cause, text.Remedy, text.Lab
		r.Counter = fmt.Sprintf("dsrlab_packets_total{reason=%q}", r.Name)
		all = append(all, r)
	}
	for name := range texts {
		errs = append(errs, fmt.Errorf("reasons.yaml: %s: unknown reason", name))
	}
	return all, errors.Join(errs...)
}

// verdictsByName are the verdicts of all reasons.
func verdictsByName() (map[string]string, error) {
	names, err := dataplane.LoadNames()
	if err != nil {
		return nil, err
	}
	verdicts := make(map[string]string)
	for _, r := range names.Reasons() {
		verdicts[names.Reason(r)] = dataplane.Verdict(r)
	}
	return verdicts, nil
}

// sentence makes a sentence of a comment.
func sentence(comment string) string {
	text := strings.Join(strings.Fields(comment), " ")
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// Canonical returns a reason's name as it is written here, whether it was written as in C, with underscores, or in capitals.
func Canonical(name string) string {
	name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	return strings.TrimPrefix(strings.TrimPrefix(name, "reason-"), "drop-")
}
