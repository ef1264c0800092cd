package inference

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// answer sends the response and returns how many bytes of it were written.
func (o order) answer(ctx context.Context, w http.ResponseWriter) (int64, error) {
	if err := wait(ctx, time.Now().Add(o.compute)); err != nil {
		return 0, err
	}
	if o.stream.token == 0 {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.FormatInt(o.response, 10))
		return io.CopyN(w, filler{}, o.response)
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Trailer", tokenPace)
	return o.streamTokens(ctx, w)
}

// streamTokens sends each token when it is due: token i at the stream's begin + i/rate, whatever was late before it. The
// response's size is exact: what doesn't make a token of its own goes with the last one. Once all tokens are out, the trailer says
// at which pace they were handed to the network.
func (o order) streamTokens(ctx context.Context, w http.ResponseWriter) (int64, error) {
	control := http.NewResponseController(w)
	pace := pacer{began: time.Now(), rate: o.stream.rate}
	count, sent := o.stream.tokens(o.response), int64(0)
	var event []byte
	for i := range count {
		if err := pace.wait(ctx, i); err != nil {
			return sent, err
		}
		size := o.stream.token
		if i == count-1 {
			size = o.response - sent
		}
		event = appendEvent(event[:0], i, size)
		n, err := w.Write(event)
		sent += int64(n)
		if err == nil {
			err = control.Flush()
		}
		if err != nil {
			return sent, fmt.Errorf("send token %d: %w", i, err)
		}
		pace.free = time.Now()
	}
	w.Header().Set(tokenPace, strconv.FormatFloat(pace.interval(count).Seconds(), 'f', 9, 64))
	return sent, nil
}

// appendEvent appends an event of exactly size bytes (Server-Sent Events, HTML standard section 9.2). A size that is too
// small for the text around the token makes a larger event.
func appendEvent(b []byte, i, size int64) []byte {
	begin := len(b)
	b = append(b, "id: "...)
	b = strconv.AppendInt(b, i, 10)
	b = append(b, "\ndata: "...)
	if room := size - int64(len(b)-begin) - 2; room > 0 {
		b = append(b, bytes.Repeat([]byte{'t'}, int(room))...)
	}
	return append(b, "\n\n"...)
}

// filler is an endless body of zeros, which cost next to nothing to make.
type filler struct{}

// Read implements io.Reader.
func (filler) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// wait returns when it is time, or with an error when ctx is done first.
func wait(ctx context.Context, until time.Time) error {
	left := time.Until(until)
	if left <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
