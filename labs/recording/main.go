// Command recording plays keys to a program on a terminal of its own, and writes what a person would have seen: as an asciicast
// (https://docs.asciinema.org/manual/asciicast/v2/), and as an SVG that moves. `make recording` makes the README's.
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "recording:", err)
		}
		os.Exit(1)
	}
}

// options say what is recorded, and where to.
type options struct {
	columns, rows uint
	keys          string
	hold          time.Duration
	svg, cast     string
	title         string
}

func run(ctx context.Context, args []string) error {
	var o options
	flags := flag.NewFlagSet("recording", flag.ContinueOnError)
	flags.UintVar(&o.columns, "columns", 100, "width of the terminal, in characters")
	flags.UintVar(&o.rows, "rows", 30, "height of the terminal, in lines")
	flags.StringVar(&o.keys, "keys", "", "keys that are pressed, one after the other, with blanks between them: space, enter, or a character")
	flags.StringVar(&o.title, "title", "", "what the recording is called (default: the command)")
	flags.DurationVar(&o.hold, "hold", 3*time.Second, "how long the screen stands still before a key is pressed")
	flags.StringVar(&o.svg, "svg", "", "file for the moving picture")
	flags.StringVar(&o.cast, "cast", "", "file for the asciicast")
	if err := flags.Parse(args); err != nil {
		return err
	}
	keys, err := parseKeys(o.keys)
	switch {
	case err != nil:
		return err
	case flags.NArg() == 0:
		return errors.New("no command (want one after the flags)")
	case o.svg == "" && o.cast == "":
		return errors.New("nothing to write (want -svg FILE, -cast FILE, or both)")
	case o.columns < 20 || o.columns > 400 || o.rows < 5 || o.rows > 200:
		return fmt.Errorf("a terminal of %d × %d (want 20 to 400 columns and 5 to 200 rows)", o.columns, o.rows)
	case o.hold < settled:
		return fmt.Errorf("-hold: %v is too short to tell that the screen stands still (want %v or more)", o.hold, settled)
	}
	shown := strings.Join(append([]string{filepath.Base(flags.Arg(0))}, flags.Args()[1:]...), " ")
	cast, err := record(ctx, flags.Args(), int(o.columns), int(o.rows), keys, o.hold)
	if err != nil {
		return fmt.Errorf("record %s: %w", shown, cmp.Or(ctx.Err(), err))
	}
	cast.Title = cmp.Or(o.title, shown)
	return errors.Join(write(o.cast, cast.write), write(o.svg, func(w io.Writer) error { return drawSVG(w, cast) }))
}

// parseKeys returns what a terminal sends for each of the keys.
func parseKeys(text string) ([]string, error) {
	var keys []string
	for _, name := range strings.Fields(text) {
		switch {
		case name == "space":
			keys = append(keys, " ")
		case name == "enter":
			keys = append(keys, "\r")
		case len([]rune(name)) == 1:
			keys = append(keys, name)
		default:
			return nil, fmt.Errorf("-keys: unknown key %q (want space, enter, or a character)", name)
		}
	}
	return keys, nil
}

// write writes a file whole, or leaves it as it was; none if it has no name.
func write(file string, content func(io.Writer) error) error {
	if file == "" {
		return nil
	}
	var buffer bytes.Buffer
	if err := content(&buffer); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return renameio.WriteFile(file, buffer.Bytes(), 0o644)
}
