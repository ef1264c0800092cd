// Package steps has every kind of step that a phase of a lab can have: what it takes, checks, does and measures.
//
// A new kind is one file with its type, fields, doc comment and methods (kind), and one field of Step. Steps know nothing of labs and of
// who runs them: package names has the names that they may use, package trial what they find when they run.
package steps

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/dsrlab/dsrlab/labs/names"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
	"github.com/dsrlab/dsrlab/topologies"
)

// Step is one action of a phase: exactly one of the fields that are pointers is set. Its name in lab.yaml is the kind of
// the step.
//
// The pointers are the registry of kinds: parsing, validation, running, the JSON Schema and STEPS.md all go through them.
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
	Assess      *AssessStep      `json:"assess,omitempty"`

	// Variants are those that execute the step (default: all of the phase).
	Variants []string `json:"variants,omitempty"`
	// Labels are added to all samples of the step, to tell them from those of others of its kind.
	Labels map[string]string `json:"labels,omitempty"`
}

// kind is implemented by every kind of step.
type kind interface {
	// run executes the step in a trial, and records samples and evidence.
	run(ctx context.Context, t *trial.Attempt) error
	// validate returns every error in the step's fields.
	validate() []error
	// check returns every name in the step that the lab's topology does not have.
	check(n *names.Names) []error
	// measures returns what the step records.
	measures(n *names.Names) []Measurement
}

// commander is implemented by kinds that one command shows by hand.
type commander interface {
	// command returns the command for a variant; empty if there is none.
	command(v testbed.Variant, plan *topologies.Plan) string
}

// rateDependent is implemented by kinds whose results depend on the links' rates: they move bytes as fast as links let them, or
// ask for answers that take the time of their bytes. For all others any rate will do.
type rateDependent interface{ dependsOnRates() }

// serial is implemented by kinds that record more than single values.
type serial interface {
	// series returns the metrics of what the step records over time, or as a distribution.
	series() []string
}

// proxied is implemented by kinds that send requests through proxies of the run's engine.
type proxied interface {
	// sends returns the versions of PROXY headers that the proxies must send, in order; proxyproto.None is an HTTP proxy.
	sends() []proxyproto.Version
}

// nodeFailing is implemented by kinds in which LB nodes may fail.
type nodeFailing interface {
	// failsNodes reports whether an LB node fails or joins in the step.
	failsNodes() bool
}

// relabelling is implemented by kinds whose samples have labels of their own in place of the step's.
type relabelling interface{ relabels() }

// find returns the kind of the step, and its name.
func (s *Step) find() (name string, k kind, err error) {
	var all []string
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		if v.Field(i).Kind() != reflect.Pointer {
			continue
		}
		field, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		all = append(all, field)
		if v.Field(i).IsNil() {
			continue
		}
		if k != nil {
			return "", nil, fmt.Errorf("kind: found both %s and %s (want one)", name, field)
		}
		name, k = field, v.Field(i).Interface().(kind)
	}
	if k == nil {
		return "", nil, fmt.Errorf("kind: missing (want one of %s)", strings.Join(all, ", "))
	}
	return name, k, nil
}

// as returns the kind of the step as one that implements T; ok is false if it doesn't, or if the step has no kind.
func as[T any](s *Step) (k T, ok bool) {
	_, found, _ := s.find()
	k, ok = found.(T)
	return k, ok
}

// Kind returns the name of the step's kind; empty if it has none.
func (s *Step) Kind() string {
	name, _, _ := s.find()
	return name
}

// TakenBy reports whether a variant executes the step.
func (s *Step) TakenBy(v testbed.Variant) bool {
	return len(s.Variants) == 0 || slices.Contains(s.Variants, v.Name)
}

// Validate returns every error in the step of a lab with some variants; n is nil if the lab's topology is not known.
func (s *Step) Validate(variants []string, n *names.Names) []error {
	errs := names.Each("variants", "variant", s.Variants, variants)
	name, k, err := s.find()
	if err != nil {
		return append(errs, err)
	}
	found := k.validate()
	if n != nil {
		found = append(found, k.check(n)...)
	}
	for _, err := range found {
		errs = append(errs, fmt.Errorf("%s.%w", name, err))
	}
	return errs
}

// Run executes the step in a trial, if it applies to the trial's variant.
func (s *Step) Run(ctx context.Context, t *trial.Attempt) error {
	if !s.TakenBy(t.Variant) {
		return nil
	}
	name, k, err := s.find()
	if err != nil {
		return err
	}
	if err := t.WithLabels(s.Labels, func() error { return k.run(ctx, t) }); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Measures returns what the step records, with its labels.
func (s *Step) Measures(n *names.Names) []Measurement {
	_, k, err := s.find()
	if err != nil {
		return nil
	}
	own := make(map[string][]string)
	if _, relabels := k.(relabelling); !relabels {
		for key, value := range s.Labels {
			own[key] = []string{value}
		}
	}
	all := k.measures(n)
	for i := range all {
		all[i] = all[i].Under(own)
	}
	return all
}

// Series returns the metrics of what the step records over time, or as a distribution.
func (s *Step) Series() []string {
	if k, ok := as[serial](s); ok {
		return k.series()
	}
	return nil
}

// Command returns the command that shows by hand what the step shows; empty if no single command does.
func (s *Step) Command(v testbed.Variant, plan *topologies.Plan) string {
	if k, ok := as[commander](s); ok {
		return k.command(v, plan)
	}
	return ""
}

// DependsOnRates reports whether the step's results depend on the links' rates.
func (s *Step) DependsOnRates() bool {
	_, ok := as[rateDependent](s)
	return ok
}

// FailsNodes reports whether an LB node fails or joins in the step.
func (s *Step) FailsNodes() bool {
	k, ok := as[nodeFailing](s)
	return ok && k.failsNodes()
}

// Sends returns the versions of PROXY headers that the step's proxies must send, in order; none if it has no proxies.
func (s *Step) Sends() []proxyproto.Version {
	if k, ok := as[proxied](s); ok {
		return k.sends()
	}
	return nil
}
