// Package lockfile keeps two processes from doing at once what only one may do, and says who is doing it. A lock is flock(2) on a file, so
// it ends with the process that holds it, however that ends. The file says who that is.
package lockfile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies/proc"
)

// Lock is a lock that this process holds.
type Lock struct {
	file *os.File
	path string
}

// Waiting is called once, when a lock has to be waited for, with who holds it. A nil Waiting means not to wait.
type Waiting func(*HeldError)

// HeldError means that another process holds a lock.
type HeldError struct {
	// What says what is in use, as a clause: "testbed talk is in use".
	What string
	// Holder is who holds it; its PID is 0 if the file doesn't say.
	Holder Holder
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("%s by %s: try again when that has ended, or wait for it with --wait", e.What, e.Holder)
}

// Holder is the process that holds a lock.
type Holder struct {
	PID int `json:"pid"`
	// Start is when the process began, in clock ticks since boot.
	Start   uint64 `json:"start"`
	Command string `json:"command"`
	// Since is when it took the lock.
	Since time.Time `json:"since"`
}

// String is for messages: `dsrlab up -f talk` (process 4711, since 16:03:20).
func (h Holder) String() string {
	if h.PID == 0 {
		return "another process"
	}
	layout := time.TimeOnly
	if since := h.Since.Local(); since.Format(time.DateOnly) != time.Now().Format(time.DateOnly) {
		layout = time.DateTime
	}
	stopped := ""
	if p, err := proc.Read(h.PID); err == nil && p.Start == h.Start && p.Stopped() {
		stopped = fmt.Sprintf(", stopped: `kill -CONT %d` continues it", h.PID)
	}
	return fmt.Sprintf("`%s` (process %d, since %s%s)", h.Command, h.PID, h.Since.Local().Format(layout), stopped)
}

const (
	pollEvery = 50 * time.Millisecond
	// nameTime is how long who has just taken a lock may need to write its name into the file.
	nameTime = time.Second
)

// Take takes the lock of a file, which it makes. what is HeldError's. If another process holds it, Take returns a
// *HeldError, or waits.
func Take(ctx context.Context, path, what string, waiting Waiting) (*Lock, error) {
	for told := false; ; told = true {
		l, err := try(path)
		switch {
		case err != nil:
			return nil, fmt.Errorf("lock %s: %w", path, err)
		case l != nil:
			return l, nil
		case waiting == nil:
			return nil, heldBy(ctx, path, what)
		case !told:
			waiting(heldBy(ctx, path, what))
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait while %s: %w", what, context.Cause(ctx))
		case <-time.After(pollEvery):
		}
	}
}

// try takes the lock; it returns nil if another process holds it.
func try(path string) (*Lock, error) {
	for {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o644)
		if errors.Is(err, os.ErrNotExist) {
			continue // the folder was removed with its last file
		}
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			file.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, nil
			}
			return nil, err
		}
		if !isSameFile(file, path) {
			file.Close() // who held it has removed it since it was opened: it keeps nobody out
			continue
		}
		l := &Lock{file: file, path: path}
		if err := l.sign(); err != nil {
			l.Release()
			return nil, err
		}
		return l, nil
	}
}

// isSameFile reports whether path still names the open file.
func isSameFile(file *os.File, path string) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(opened, named)
}

// longestCommand is how much of a command line the file has.
const longestCommand = 200

// sign writes this process into the file.
func (l *Lock) sign() error {
	h := Holder{PID: os.Getpid(), Since: time.Now().UTC().Truncate(time.Second)}
	h.Command = strings.ToValidUTF8(strings.Join(append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...), " "), "?")
	if len(h.Command) > longestCommand {
		h.Command = strings.ToValidUTF8(h.Command[:longestCommand], "") + "…"
	}
	self, err := proc.Read(h.PID)
	if err != nil {
		return err
	}
	h.Start = self.Start
	line, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err = l.file.WriteAt(append(line, '\n'), 0)
	return err
}

// heldBy finds out who holds a lock that could not be taken.
func heldBy(ctx context.Context, path, what string) *HeldError {
	for deadline := time.Now().Add(nameTime); ; {
		if h, ok := HolderOf(path); ok || time.Now().After(deadline) || ctx.Err() != nil || !exists(path) {
			return &HeldError{What: what, Holder: h}
		}
		time.Sleep(pollEvery / 10)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// HolderOf is the process that holds the lock of a file. There is none if the file doesn't name one, or that has ended.
func HolderOf(path string) (Holder, bool) {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > 4096 {
		return Holder{}, false
	}
	document, err := os.ReadFile(path)
	if err != nil {
		return Holder{}, false
	}
	var h Holder
	if json.Unmarshal(document, &h) != nil || h.PID <= 0 || !proc.IsRunning(h.PID, h.Start) {
		return Holder{}, false
	}
	return h, true
}

// Release removes the lock's file while the lock is still held, and lets go. If someone has removed the file since, what has its name
// now is another's lock, and stays.
func (l *Lock) Release() {
	if isSameFile(l.file, l.path) {
		_ = os.Remove(l.path) // left behind, it does no harm
	}
	l.file.Close()
}
