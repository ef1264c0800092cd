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

// streamTokens sends each token when it is due: token i at the stream's start + i/rate, however late the ones before it. The
// response's size is exact: a remainder smaller than a token is added to the last one. Once all tokens are sent, the trailer reports
// the pace at which they were handed to the network.
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
// small for the text around the token results in a larger event.
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

// filler is an endless body of zeros, which cost almost nothing to generate.
type filler struct{}

// Read implements io.Reader.
func (filler) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// wait waits until a time, or returns an error if ctx is done first.
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
