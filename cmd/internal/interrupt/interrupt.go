// Package interrupt ends a command on a signal: its context ends, so that it can clean up, and its exit status is what shells expect.
package interrupt

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Error is the cause of a context that a signal ended. It is a context.Canceled, too.
type Error struct{ Signal syscall.Signal }

func (e *Error) Error() string { return "interrupted by " + unix.SignalName(e.Signal) }

// Is makes the error what the context's own is.
func (e *Error) Is(target error) bool { return target == context.Canceled }

// ExitCode is the exit status of a program that the signal ended, as shells have it.
func (e *Error) ExitCode() int { return 128 + int(e.Signal) }

// Of returns what interrupted ctx; nil if nothing did.
func Of(ctx context.Context) *Error {
	var e *Error
	if errors.As(context.Cause(ctx), &e) {
		return e
	}
	return nil
}

// Notify returns a context that the first SIGINT, SIGTERM or SIGHUP ends. A SIGINT after it ends the process at once: an impatient
// person presses Ctrl-C twice. Any other signal doesn't, since a terminal that is closed gives more than one SIGHUP, and
// systemd sends SIGHUP right after SIGTERM. A program that was started with nohup goes on ignoring SIGHUP.
//
// SIGPIPE no longer ends the process: a write to a closed pipe fails with EPIPE instead. Programs that the process starts are not
// affected.
func Notify(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	pipe := make(chan os.Signal, 1) // nobody reads it
	signal.Notify(pipe, syscall.SIGPIPE)
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	received := make(chan os.Signal, 8)
	signal.Notify(received, signals...)
	go func() {
		first := (<-received).(syscall.Signal)
		cancel(&Error{first})
		for s := range received {
			if s == syscall.SIGINT {
				os.Exit((&Error{syscall.SIGINT}).ExitCode())
			}
		}
	}()
	return ctx, func() {
		cancel(nil)
		if Of(ctx) == nil { // else the process ends, and a signal that is still on its way must not take its exit status
			signal.Stop(received)
			signal.Stop(pipe)
		}
	}
}
