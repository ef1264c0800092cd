package inference

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// timedBody reads a response's body and records when it arrives.
type timedBody struct {
	body   io.Reader
	due    time.Time
	sample *Sample
}

// Read implements io.Reader.
func (t *timedBody) Read(p []byte) (int, error) {
	n, err := t.body.Read(p)
	if n > 0 && t.sample.BytesIn == 0 {
		t.sample.FirstByte = time.Since(t.due)
	}
	t.sample.BytesIn += int64(n)
	return n, err
}

// readAll reads a response in one piece.
func (t *timedBody) readAll() error {
	_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, t, make([]byte, 64<<10))
	return err
}

// readTokens reads a stream of n tokens and sets the mean time between them: from the first to the last, divided by n-1.
func (t *timedBody) readTokens(o order) error {
	want := o.stream.tokens(o.response)
	reader := bufio.NewReaderSize(t, 2*MaxToken+MinToken) // the last event may be nearly as large as two
	var first time.Time
	id := ""
	for {
		line, err := reader.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 && t.sample.Tokens == want {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("stream ended after token %d of %d: %w", t.sample.Tokens, want, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return err
		}
		line = line[:len(line)-1]
		switch {
		case bytes.HasPrefix(line, []byte("id: ")):
			id = string(line[len("id: "):])
		case len(line) == 0:
			if id != strconv.FormatInt(t.sample.Tokens, 10) {
				return fmt.Errorf("token: found number %s (want %d)", id, t.sample.Tokens)
			}
			switch t.sample.Tokens {
			case 0:
				first = time.Now()
			case want - 1:
				t.sample.TPOT = time.Since(first) / time.Duration(want-1)
			}
			t.sample.Tokens++
		}
	}
}
