package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
)

// settled is how long nothing was drawn on a screen that a person is meant to look at.
const settled = 250 * time.Millisecond

// patience is how long a key may do nothing.
const patience = time.Minute

// cast is what a program wrote to a terminal.
type cast struct {
	Columns, Rows int
	Title         string
	Events        []event
}

// event is something that was written, whole characters each time.
type event struct {
	At   time.Duration // from the start
	Text string
}

// write writes the cast as an asciicast, version 2: a header and a line for each event.
func (c cast) write(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	header := struct {
		Version int    `json:"version"`
		Width   int    `json:"width"`
		Height  int    `json:"height"`
		Title   string `json:"title,omitempty"`
	}{2, c.Columns, c.Rows, c.Title}
	if err := out.Encode(header); err != nil {
		return err
	}
	for _, e := range c.Events {
		if err := out.Encode([]any{e.At.Seconds(), "o", e.Text}); err != nil {
			return err
		}
	}
	return nil
}

// record runs a command on a terminal and returns what was drawn until it ended. A key is pressed once something was drawn after the one
// before it, and nothing for hold. A key that does nothing for a minute, and a command that fails, are errors. The end
// of ctx ends the command, and what it has started.
func record(ctx context.Context, args []string, columns, rows int, keys []string, hold time.Duration) (cast, error) {
	c := cast{Columns: columns, Rows: rows}
	command := exec.CommandContext(ctx, args[0], args[1:]...)
	// SIGTERM, so that it can put away what it has made; to its whole process group, which the terminal gave it.
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGTERM) }
	command.Env = append(os.Environ(), "TERM=xterm-256color", "COLORTERM=", "NO_COLOR=")
	tty, err := pty.StartWithSize(command, &pty.Winsize{Cols: uint16(columns), Rows: uint16(rows)})
	if err != nil {
		return c, err
	}
	defer tty.Close()
	terminal := vt.NewEmulator(columns, rows)
	defer terminal.Close()
	go func() { _, _ = io.Copy(tty, terminal) }() // programs ask what the terminal is
	drawn, start := make(chan []byte), time.Now()
	go read(tty, drawn)

	var split []byte // the first bytes of a character whose rest has not come
	still, waiting := time.NewTimer(patience), true
	for {
		select {
		case data, more := <-drawn:
			if !more {
				return c, command.Wait()
			}
			_, _ = terminal.Write(data)
			text, rest := wholeRunes(append(split, data...))
			c.Events, split = append(c.Events, event{time.Since(start), text}), rest
			if waiting = len(keys) == 0; !waiting {
				still.Reset(hold)
			}
		case <-still.C:
			if waiting {
				_ = command.Cancel()
				for range drawn { // up to its end
				}
				_ = command.Wait()
				return c, fmt.Errorf("with %d keys left, nothing came of the last one for %v (want one that does something, the last of which ends the command)", len(keys), patience)
			}
			if _, err := tty.WriteString(keys[0]); err != nil {
				return c, fmt.Errorf("press a key: %w", err)
			}
			keys, waiting = keys[1:], true
			still.Reset(patience)
		}
	}
}

// read hands on what is written to a terminal, until there is nobody any more who could write.
func read(tty *os.File, drawn chan<- []byte) {
	defer close(drawn)
	for {
		buffer := make([]byte, 16<<10)
		n, err := tty.Read(buffer)
		if n > 0 {
			drawn <- buffer[:n]
		}
		if err != nil { // EIO, once the other end is closed
			return
		}
	}
}

// wholeRunes splits the first bytes of a character that is not whole yet off the end of data.
func wholeRunes(data []byte) (text string, rest []byte) {
	for back := 1; back < utf8.UTFMax && back <= len(data); back++ {
		if b := data[len(data)-back]; utf8.RuneStart(b) {
			if !utf8.FullRune(data[len(data)-back:]) {
				return string(data[:len(data)-back]), data[len(data)-back:]
			}
			break
		}
	}
	return string(data), nil
}
