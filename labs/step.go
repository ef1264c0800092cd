package labs

//go:generate go run ./stepdoc

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/dsrlab/dsrlab/labs/names"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/topologies"
)

// Step is one action of a phase: exactly one of the fields that are pointers is set. Its name in lab.yaml is the kind of
// the step.
//
// The pointers are the registry of kinds: parsing, validation, running and STEPS.md all go through them. A new kind is one file,
// step_NAME.go, with its type, fields, doc comment and methods, and one field here. The files are in this package and not in one of
// their own, because steps run in a trial, which belongs to the runner, and the runner parses and runs steps: each would import
// the other.
type Step struct {
	Connect  *ConnectStep  `json:"connect,omitempty"`
	Transfer *TransferStep `json:"transfer,omitempty"`
	Infer    *InferStep    `json:"infer,omitempty"`
	Health   *HealthStep   `json:"health,omitempty"`
	Trace    *TraceStep    `json:"trace,omitempty"`
	LBList   *LBListStep   `json:"lbList,omitempty"`
	Observe  *ObserveStep  `json:"observe,omitempty"`
	Table    *TableStep    `json:"table,omitempty"`
	Diagnose *DiagnoseStep `json:"diagnose,omitempty"`
	Entry    *EntryStep    `json:"entry,omitempty"`
	Withdraw *WithdrawStep `json:"withdraw,omitempty"`
	Headers  *HeadersStep  `json:"headers,omitempty"`

	ProxyProtocol *ProxyProtocolStep `json:"proxyProtocol,omitempty"`

	Downloads   *DownloadsStep   `json:"downloads,omitempty"`
	Application *ApplicationStep `json:"application,omitempty"`

	// Variants are those that execute the step (default: all of the phase).
	Variants []string `json:"variants,omitempty"`
	// Labels are added to all samples of the step, to tell them from those of others of its kind.
	Labels map[string]string `json:"labels,omitempty"`
}

// action is implemented by every kind of step.
type action interface {
	// run executes the step in a trial of a variant, and records samples and evidence.
	run(ctx context.Context, t *trial.Attempt) error
	// validate returns every error in the step's fields.
	validate() []error
	// check returns every name in the step that the lab's topology does not have.
	check(n *names.Names) []error
	// measures returns what the step records.
	measures(n *names.Names) []measurement
}

// commander is implemented by kinds that one command shows by hand.
type commander interface {
	// command returns the command for a variant; empty if there is none.
	command(v testbed.Variant, plan *topologies.Plan) string
}

// rateDependent is implemented by kinds whose results depend on the links' rates: they move bytes as fast as links let them, or
// ask for answers that take the time of their bytes. For all others any rate will do.
type rateDependent interface{ dependsOnRates() }

// action returns the step's action and the name of its kind.
func (s *Step) action() (kind string, a action, err error) {
	var kinds []string
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		if v.Field(i).Kind() != reflect.Pointer {
			continue
		}
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		kinds = append(kinds, name)
		if v.Field(i).IsNil() {
			continue
		}
		if a != nil {
			return "", nil, fmt.Errorf("kind: found both %s and %s (want one)", kind, name)
		}
		kind, a = name, v.Field(i).Interface().(action)
	}
	if a == nil {
		return "", nil, fmt.Errorf("kind: missing (want one of %s)", strings.Join(kinds, ", "))
	}
	return kind, a, nil
}

// Kind returns the name of the step's kind; empty if it has none.
func (s *Step) Kind() string {
	kind, _, _ := s.action()
	return kind
}

// validate returns every error in the step; n is nil if the lab's topology is not known.
func (s *Step) validate(l *Lab, n *names.Names) []error {
	errs := names.Each("variants", "variant", s.Variants, l.variantNames())
	kind, a, err := s.action()
	if err != nil {
		return append(errs, err)
	}
	found := a.validate()
	if n != nil {
		found = append(found, a.check(n)...)
	}
	for _, err := range found {
		errs = append(errs, fmt.Errorf("%s.%w", kind, err))
	}
	return errs
}

// takenBy reports whether a variant executes the step.
func (s *Step) takenBy(v testbed.Variant) bool {
	return len(s.Variants) == 0 || slices.Contains(s.Variants, v.Name)
}

// run executes the step, if it applies to the trial's variant.
func (s *Step) run(ctx context.Context, t *trial.Attempt) error {
	if !s.takenBy(t.Variant) {
		return nil
	}
	kind, a, err := s.action()
	if err != nil {
		return err
	}
	if err := t.WithLabels(s.Labels, func() error { return a.run(ctx, t) }); err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	return nil
}
