package steps

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dsrlab/dsrlab/labs/edge"
	"github.com/dsrlab/dsrlab/labs/names"
	"github.com/dsrlab/dsrlab/labs/trial"
)

// WithdrawStep ends an LB node's BGP speaker, opens connections without it, and starts it again.
// Samples: withdrawn_after (s), and those of entry, labelled without=NODE.
type WithdrawStep struct {
	Node  string    `json:"node"`
	Entry EntryStep `json:"entry"`
}

func (s *WithdrawStep) validate() []error { return s.Entry.validate() }

func (s *WithdrawStep) check(n *names.Names) []error {
	errs := names.Known("node", "LB node", s.Node, n.LBNodes)
	for _, err := range s.Entry.check(n) {
		errs = append(errs, fmt.Errorf("entry.%w", err))
	}
	return errs
}

func (s *WithdrawStep) measures(n *names.Names) []Measurement {
	all := append(Measurements(nil, "withdrawn_after"), s.Entry.measures(n)...)
	for i := range all {
		all[i].Labels = one("without", s.Node)
	}
	return all
}

func (s *WithdrawStep) run(ctx context.Context, t *trial.Attempt) error {
	began := time.Now()
	if err := edge.StopAnnouncing(ctx, t.Testbed, s.Node); err != nil {
		return err
	}
	after := time.Since(began)
	err := t.WithLabels(map[string]string{"without": s.Node}, func() error {
		return errors.Join(t.Sample("withdrawn_after", "s", after.Seconds(), nil), s.Entry.run(ctx, t))
	})
	return errors.Join(err, edge.StartAnnouncing(ctx, t.Testbed, s.Node))
}

// relabels implements relabelling.
func (s *WithdrawStep) relabels() {}
