// Package stdout makes what can't be written to standard output an error of the command, whatever it prints with.
package stdout

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/dsrlab/dsrlab/labs/terminal"
)

// Writer is standard output as commands have it. It remembers the first error, which Close returns: so no command, and no library
// that writes for one, has to check its writes.
type Writer struct {
	to         io.Writer
	brokenPipe func()

	mu  sync.Mutex
	err error
}

var _ terminal.Sized = (*Writer)(nil)

// New returns a Writer to standard output. It calls brokenPipe, once, if nobody reads what is written.
func New(to io.Writer, brokenPipe func()) *Writer { return &Writer{to: to, brokenPipe: brokenPipe} }

// Write implements io.Writer. After an error nothing more is written.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.to.Write(p)
	if err == nil {
		return n, nil
	}
	var path *os.PathError
	if errors.As(err, &path) { // which calls it /dev/stdout, wherever it leads
		err = path.Err
	}
	w.err = fmt.Errorf("write standard output: %w", err)
	if errors.Is(err, syscall.EPIPE) {
		w.brokenPipe()
	}
	return n, w.err
}

// Close returns the first error of all writes. Later ones fail. What is written to stays open.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.err
	if err == nil {
		w.err = os.ErrClosed
	}
	return err
}

// Silence has later writes fail. A write that is under way may never end, as nobody reads the pipe: that is not waited for.
func (w *Writer) Silence() {
	if w.mu.TryLock() {
		defer w.mu.Unlock()
		if w.err == nil {
			w.err = os.ErrClosed
		}
	}
}

// Columns implements terminal.Sized.
func (w *Writer) Columns() int { return terminal.Columns(w.to) }

// Screen returns the terminal itself, for what draws on all of it; where there is none, the writer.
func Screen(to io.Writer) io.Writer {
	if w, ok := to.(*Writer); ok && w.Columns() > 0 {
		return w.to
	}
	return to
}
