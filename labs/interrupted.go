package labs

import (
	"context"
	"errors"
	"fmt"
)

// ErrInterrupted is why what runs ends if a person ends it by a key. It is a context.Canceled, too.
var ErrInterrupted error = interruptedError{}

type interruptedError struct{}

func (interruptedError) Error() string        { return "interrupted" }
func (interruptedError) Is(target error) bool { return target == context.Canceled }

// interruption returns why ctx was cancelled, in words; nil if it was not. That its time is over is no interruption.
func interruption(ctx context.Context) error {
	cause := context.Cause(ctx)
	switch {
	case !errors.Is(cause, context.Canceled):
		return nil
	case cause.Error() == context.Canceled.Error(): // whoever cancelled it gave no cause
		return ErrInterrupted
	}
	return cause
}

// stoppedError is the error of a trial, or of the building, that was interrupted. What else went wrong in it comes of that, and is left out.
type stoppedError struct{ cause error }

func (e *stoppedError) Error() string { return e.cause.Error() }
func (e *stoppedError) Unwrap() error { return e.cause }

// withoutStops returns the errors that do not come of an interruption, and what interrupted the others; nil if nothing did.
func withoutStops(errs []error) (others []error, cause error) {
	for _, err := range errs {
		var stopped *stoppedError
		if errors.As(err, &stopped) {
			cause = stopped.cause
			continue
		}
		others = append(others, err)
	}
	return others, cause
}

// endedEarly says after how many of its trials a run ended.
func (s *Session) endedEarly(why error) string {
	done := 0
	for i := range s.trials {
		if s.attempts[i] > 0 && s.errs[i] == nil {
			done++
		}
	}
	return fmt.Sprintf("%v after %d of %d trials", why, done, len(s.trials))
}
