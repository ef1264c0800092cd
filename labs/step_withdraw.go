package labs

import (
	"context"
	"errors"
	"time"

	"github.com/dsrlab/dsrlab/labs/edge"
)

// WithdrawStep ends an LB node's BGP speaker, opens connections without it, and starts it again.
// Samples: withdrawn_after (s), and those of entry, labelled without=NODE.
type WithdrawStep struct {
	Node  string    `json:"node"`
	Entry EntryStep `json:"entry"`
}

func (s *WithdrawStep) validate(l *Lab) []error { return s.Entry.validate(l) }

func (s *WithdrawStep) run(ctx context.Context, t *trial) error {
	began := time.Now()
	if err := edge.StopAnnouncing(ctx, t.testbed, s.Node); err != nil {
		return err
	}
	after := time.Since(began)
	outer := t.stepLabels
	t.stepLabels = map[string]string{"without": s.Node}
	err := errors.Join(t.sample("withdrawn_after", "s", after.Seconds(), nil), s.Entry.run(ctx, t))
	t.stepLabels = outer
	return errors.Join(err, edge.StartAnnouncing(ctx, t.testbed, s.Node))
}
