package workload

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// The bulk protocol. One TCP connection is one transfer, so that with any load balancer in between, what the server
// reports about a transfer comes from the pod that served it:
//
//	client: one line of JSON, bulkRequest
//	server: frameAnswer (bulkAnswer); an error in it ends the connection
//	sender: frameData …, frameEnd           the server, the client or both, by the direction
//	receiver: frameGot, once it has frameEnd and has sent its own
//	both ends: frameReport (BulkEnd), once an end has frameGot for what it sent and frameEnd for what it receives
//
// A report thus counts every retransmission that the transfer needed, and the ends agree on what was delivered.
// A frame is 8 bytes (type, three zero bytes, length in network byte order) and its payload. Data frames are large where
// the path is fast, so framing costs nothing there, and small where it is slow, so the transfer ends on time.

// Direction is the direction of a transfer.
type Direction string

// The directions, as the client sees them.
const (
	Download Direction = "download" // the server sends
	Upload   Direction = "upload"   // the client sends
	Both     Direction = "both"     // both send simultaneously on the same connection
)

func (d Direction) clientSends() bool { return d == Upload || d == Both }
func (d Direction) serverSends() bool { return d == Download || d == Both }

const (
	// maxTransfer bounds the time of a transfer, also of one that is limited by bytes alone.
	maxTransfer = time.Hour
	// maxRequestLine bounds the request.
	maxRequestLine = 4 << 10
	// maxJSONFrame bounds answers and reports: maxSamples of about 700 bytes fit.
	maxJSONFrame = 8 << 20
	// maxDataFrame bounds a data frame, and the buffers of both ends.
	maxDataFrame = 256 << 10
)

// bulkRequest is the client's request.
type bulkRequest struct {
	Direction Direction `json:"direction"`
	// Bytes and Seconds limit each sender; 0 is no limit, and one of them must be given.
	Bytes   int64   `json:"bytes,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	// CongestionControl is for the server's socket; empty leaves that of the route.
	CongestionControl string `json:"cc,omitempty"`
}

func (r bulkRequest) validate() error {
	var errs []error
	if !slices.Contains([]Direction{Download, Upload, Both}, r.Direction) {
		errs = append(errs, fmt.Errorf("direction: found %q (want %s, %s or %s)", r.Direction, Download, Upload, Both))
	}
	if r.Bytes < 0 {
		errs = append(errs, fmt.Errorf("bytes: found %d (want 0 or more)", r.Bytes))
	}
	// Written so that NaN fails too.
	if !(r.Seconds >= 0 && r.Seconds <= maxTransfer.Seconds()) {
		errs = append(errs, fmt.Errorf("seconds: found %v (want 0 to %v)", r.Seconds, maxTransfer.Seconds()))
	}
	if r.Bytes == 0 && r.Seconds == 0 {
		errs = append(errs, errors.New("missing bytes or seconds"))
	}
	return errors.Join(errs...)
}

// limit returns how much one sender may send.
func (r bulkRequest) limit() sendLimit {
	l := sendLimit{bytes: r.Bytes, time: time.Duration(r.Seconds * float64(time.Second))}
	if l.time == 0 {
		l.time = maxTransfer
	}
	return l
}

// bulkAnswer is the server's answer to a request.
type bulkAnswer struct {
	Error string `json:"error,omitempty"`
}

type frameType byte

const (
	frameAnswer frameType = 1
	frameData   frameType = 2
	frameEnd    frameType = 3
	frameGot    frameType = 4
	frameReport frameType = 5
)

const frameHeader = 8

func putHeader(b []byte, kind frameType, length int) {
	clear(b[:4])
	b[0] = byte(kind)
	binary.BigEndian.PutUint32(b[4:frameHeader], uint32(length))
}

func parseHeader(b []byte) (frameType, int, error) {
	kind, length := frameType(b[0]), int64(binary.BigEndian.Uint32(b[4:frameHeader]))
	limit := int64(0)
	switch kind {
	case frameAnswer, frameReport:
		limit = maxJSONFrame
	case frameData:
		limit = maxDataFrame
	case frameEnd, frameGot:
	default:
		return 0, 0, fmt.Errorf("read frame: unknown type %d (want a bulk server or client at the other end)", kind)
	}
	if b[1] != 0 || b[2] != 0 || b[3] != 0 || length > limit {
		return 0, 0, fmt.Errorf("read frame: type %d: found %d bytes (want at most %d)", kind, length, limit)
	}
	return kind, int(length), nil
}

// appendJSONFrame appends a frame whose payload is v.
func appendJSONFrame(b []byte, kind frameType, v any) ([]byte, error) {
	payload, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode frame: %w", err)
	}
	if len(payload) > maxJSONFrame {
		return nil, fmt.Errorf("encode frame: found %d bytes (want at most %d)", len(payload), maxJSONFrame)
	}
	var header [frameHeader]byte
	putHeader(header[:], kind, len(payload))
	return append(append(b, header[:]...), payload...), nil
}

// readJSONFrame reads one frame, which must be of the wanted type, into v.
func readJSONFrame(r io.Reader, want frameType, v any) error {
	var header [frameHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return fmt.Errorf("read frame: %w", err)
	}
	kind, length, err := parseHeader(header[:])
	if err != nil {
		return err
	}
	if kind != want {
		return fmt.Errorf("read frame: found type %d (want %d)", kind, want)
	}
	return readJSONPayload(r, length, v)
}

func readJSONPayload(r io.Reader, length int, v any) error {
	payload := make([]byte, length)
	if _, err := io.ReadFull(r, payload); err != nil {
		return fmt.Errorf("read frame: %w", err)
	}
	if err := json.Unmarshal(payload, v); err != nil {
		return fmt.Errorf("decode frame: %w", err)
	}
	return nil
}

// readRequest reads the request's line and nothing after it.
func readRequest(r io.Reader) (bulkRequest, error) {
	line := make([]byte, 0, 256)
	for {
		var b [1]byte // once per connection, and the next byte belongs to the transfer
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return bulkRequest{}, fmt.Errorf("read request: %w", err)
		}
		if b[0] == '\n' {
			break
		}
		if line = append(line, b[0]); len(line) > maxRequestLine {
			return bulkRequest{}, fmt.Errorf("read request: line too long (want at most %d bytes)", maxRequestLine)
		}
	}
	var request bulkRequest
	if err := json.Unmarshal(line, &request); err != nil {
		return bulkRequest{}, fmt.Errorf("read request (want one line of JSON): %w", err)
	}
	return request, request.validate()
}
