package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/dsrlab/dsrlab/cmd/internal/interrupt"
)

// endTimeout is how long an interrupted command that has nothing to undo may take to end by itself. Then it is left where it is: it
// may be reading a pipe that nobody writes to.
const endTimeout = 500 * time.Millisecond

// undo is whether a command has to undo something when it is interrupted.
type undo struct {
	mu           sync.Mutex
	needed, late bool
	leaves       string // what stays if it does not; empty: what down removes
}

type undoKey struct{}

// mustUndo makes run wait for the command from now on, even if it is interrupted. A command calls it before it makes anything. It fails if the command
// has been interrupted already.
func mustUndo(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	u, ok := ctx.Value(undoKey{}).(*undo)
	if !ok {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.late {
		return context.Canceled
	}
	u.needed = true
	return nil
}

// undoBy says what stays if a command that must undo something is kept from it: what, and what removes it.
func undoBy(ctx context.Context, leaves string) {
	if u, ok := ctx.Value(undoKey{}).(*undo); ok {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.leaves = leaves
	}
}

// remains says what stays.
func (u *undo) remains() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.leaves != "" {
		return "it leaves " + u.leaves
	}
	return "what it leaves, dsrlab down removes"
}

// tooLate reports whether nothing has to be undone, and keeps the command from beginning to make anything.
func (u *undo) tooLate() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.late = !u.needed
	return u.late
}

// await waits for a command to return. It returns false if the command was interrupted and is not waited for.
func (u *undo) await(ctx context.Context, done <-chan struct{}, stderr io.Writer) bool {
	select {
	case <-done:
		return true
	case <-ctx.Done():
	}
	e := interrupt.Of(ctx)
	if e == nil { // by who called run
		<-done
		return true
	}
	select {
	case <-done:
		return true
	case <-time.After(endTimeout):
	}
	if u.tooLate() {
		return false
	}
	if e.Signal != brokenPipe {
		fmt.Fprintf(stderr, "dsrlab: %v: cleaning up (Ctrl-C ends it at once; %s)\n", e, u.remains())
	}
	<-done
	return true
}

// besidesInterruption is what of an interrupted command's errors is no consequence of the interruption; nil if all are.
func besidesInterruption(err error) error {
	var several interface{ Unwrap() []error }
	if errors.As(err, &several) {
		var others []error
		for _, one := range several.Unwrap() {
			others = append(others, besidesInterruption(one))
		}
		return errors.Join(others...)
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
