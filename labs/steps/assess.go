package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/assess/prober"
	"github.com/dsrlab/dsrlab/labs/names"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/topologies"
)

// AssessStep probes the network as `dsrlab assess` does, and records which causes it finds that keep DSR from working. It knows neither
// the variant's obstacles nor its data path.
// Samples: found (ratio: 1 if it is among the findings), labelled with each cause there is; causes_found (causes: how many different
// ones); judged (ratio: 1 for the verdict on the network, 0 for all others), labelled with the verdict.
type AssessStep struct {
	From string `json:"from"` // a client
	// Idle is how long connections rest before they carry data again (default: they do not rest).
	Idle Duration `json:"idle,omitempty"`
}

// judgements are the verdicts on a network.
func judgements() []string {
	return []string{string(assess.Works), string(assess.WorksIf), string(assess.Wont), string(assess.NotKnown)}
}

// causeNames are those of all causes.
func causeNames() []string {
	var all []string
	for _, info := range assess.Causes() {
		all = append(all, string(info.Cause))
	}
	return all
}

func (s *AssessStep) validate() []error {
	if s.Idle < 0 {
		return []error{fmt.Errorf("idle: found %v (want 0 or more)", time.Duration(s.Idle))}
	}
	return nil
}

func (s *AssessStep) check(n *names.Names) []error {
	return names.Known("from", "client", s.From, n.Clients)
}

func (s *AssessStep) measures(*names.Names) []Measurement {
	return slices.Concat(Measurements(map[string][]string{"cause": causeNames()}, "found"), Measurements(nil, "causes_found"),
		Measurements(map[string][]string{"verdict": judgements()}, "judged"))
}

func (s *AssessStep) run(ctx context.Context, t *trial.Attempt) error {
	site, err := prober.OnTestbed(t.Testbed, s.From)
	if err != nil {
		return err
	}
	o := prober.Options{Idle: time.Duration(s.Idle)}
	if o.Idle == 0 {
		o.Idle = prober.NoIdle
	}
	observed, err := prober.Observe(ctx, site, o)
	if err != nil {
		return err
	}
	report := assess.Diagnose(*observed)
	errs := []error{t.Record(diagnosed(&report)), t.Evidence(report.Answer())}
	for i := range report.Findings {
		f := &report.Findings[i]
		errs = append(errs, t.Evidence(fmt.Sprintf("found %s at %s: hurts %s", f.Title(), f.Where(), f.Hurts)))
	}
	for _, u := range report.Unknown {
		errs = append(errs, t.Evidence("not known: "+u.String()))
	}
	return errors.Join(errs...)
}

// diagnosed are the step's samples of a report.
func diagnosed(r *assess.Report) []trial.Value {
	found := make(map[string]bool)
	for _, f := range r.Findings {
		for _, c := range f.Causes {
			found[string(c)] = true
		}
	}
	value := func(metric, unit string, v float64, labels map[string]string) trial.Value {
		return trial.Value{Metric: metric, Unit: unit, Value: v, Labels: labels}
	}
	all := []trial.Value{value("causes_found", "causes", float64(len(found)), nil)}
	for _, cause := range causeNames() {
		all = append(all, value("found", "ratio", oneWhere(found[cause]), map[string]string{"cause": cause}))
	}
	for _, verdict := range judgements() {
		all = append(all, value("judged", "ratio", oneWhere(verdict == string(r.Verdict)), map[string]string{"verdict": verdict}))
	}
	return all
}

// oneWhere is 1 where something holds, and 0 elsewhere.
func oneWhere(holds bool) float64 {
	if holds {
		return 1
	}
	return 0
}

// command implements commander.
func (s *AssessStep) command(testbed.Variant, *topologies.Plan) string {
	return fmt.Sprintf("sudo dsrlab assess --client %s --idle %v", s.From, time.Duration(s.Idle))
}
