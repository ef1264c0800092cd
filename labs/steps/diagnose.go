package steps

import (
	"context"
	"errors"
	"fmt"

	"github.com/dsrlab/dsrlab/labs/edge"
	"github.com/dsrlab/dsrlab/labs/names"
	"github.com/dsrlab/dsrlab/labs/trial"
)

// DiagnoseStep is connect with a diagnosis: if requests or replies are lost, it reports where, and which counter shows it.
// Samples are those of connect, and, labelled with the protocol, answers_from_wrong_source and spoof_drops (packets).
type DiagnoseStep struct {
	ConnectStep `json:",inline"`
}

func (s *DiagnoseStep) measures(n *names.Names) []Measurement {
	return append(s.ConnectStep.measures(n), Measurements(one("protocol", string(s.Protocol)), "answers_from_wrong_source", "spoof_drops")...)
}

func (s *DiagnoseStep) run(ctx context.Context, t *trial.Attempt) error {
	investigation, err := edge.Investigate(ctx, t.Testbed, s.From)
	if err != nil {
		return err
	}
	err = s.ConnectStep.run(ctx, t)
	observed, concludeErr := investigation.Conclude()
	if err := errors.Join(err, concludeErr); err != nil {
		return err
	}
	var drops uint64
	for _, n := range observed.SpoofDrops {
		drops += n
	}
	labels := map[string]string{"protocol": string(s.Protocol)}
	errs := []error{
		t.Sample("answers_from_wrong_source", "packets", float64(observed.WrongSource), labels),
		t.Sample("spoof_drops", "packets", float64(drops), labels),
	}
	for _, f := range edge.Diagnose(observed) {
		errs = append(errs, t.Evidence(fmt.Sprintf("died at %s, counter %s = %d: %s", f.Place, f.Counter, f.Count, f.Text)))
	}
	return errors.Join(errs...)
}
