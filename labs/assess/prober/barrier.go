package prober

import (
	"context"
	"fmt"
	"time"
)

// heard waits until machines' stations have told all that they had seen when it was called. A station answers a request after that, so what
// is missing then was not seen, however long the way of its words took. Without an answer nothing can be said, and the observation fails.
func (ob *observer) heard(ctx context.Context, machines ...*Machine) {
	answers := make(chan error, len(machines))
	for _, m := range machines {
		go func() {
			err := ob.stations[m.Name].Guard(ctx)
			if err != nil {
				err = fmt.Errorf("%s: ask what it has seen: %w", m.Name, err)
			}
			answers <- err
		}()
	}
	for range machines {
		select {
		case err := <-answers:
			if err != nil {
				ob.fail(err)
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// await waits until a condition is true of what some machines have seen, for as long as it may take at most, and then until they have told
// all. It reports whether it became true.
func (ob *observer) await(ctx context.Context, most time.Duration, machines []*Machine, condition func() bool) bool {
	if ob.journal.wait(ctx, most, condition) {
		return true
	}
	ob.heard(ctx, machines...)
	return ctx.Err() == nil && condition()
}
