// Package inference holds a server and a load with the shapes of AI inference: small requests with large or
// streamed responses, and the reverse (slide 25). No model runs; only the traffic is real: HTTP requests and responses
// of the stated sizes, token streams by Server-Sent Events at a stated rate, and clients that arrive by a stated process.
//
// Sizes are of bodies, in bytes; kB and MB are powers of ten.
package inference

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/dsrlab/dsrlab/internal/words"
)

// Range is a size in bytes that is drawn for each request, uniformly from Min to Max.
type Range struct {
	Min int64 `json:"min"`
	Max int64 `json:"max"`
}

// Exactly returns a range of one size.
func Exactly(bytes int64) Range { return Range{bytes, bytes} }

func (r Range) draw(random *rand.Rand) int64 { return r.Min + random.Int64N(r.Max-r.Min+1) }

// Limits of a shape.
const (
	// maxBody bounds requests and responses.
	maxBody = 1 << 30
	// MinToken and MaxToken bound the event that carries a token.
	MinToken = 32
	MaxToken = 32 << 10
	// maxTokenRate bounds token streams, in tokens per second.
	maxTokenRate = 1e5
	// maxCompute bounds the simulated time of a model.
	maxCompute = 10 * time.Minute
)

// Shape describes a request to a model and its response.
type Shape struct {
	Name     string `json:"name"`
	Request  Range  `json:"request"`
	Response Range  `json:"response"`
	// Token is the size of a token's event in a stream; 0 is a response in one piece. The last event
	// of a stream is larger by the remainder of the response.
	Token int64 `json:"token,omitempty"`
	// TokenRate is how many tokens the model generates per second.
	TokenRate float64 `json:"tokenRate,omitempty"`
	// Compute is the time that the model needs before the first byte of its response, in nanoseconds.
	Compute time.Duration `json:"computeNs,omitempty"`
}

// Shapes returns those of slide 25. A token's event has 300 bytes, as LLM servers send them with the JSON around a token
// of four. So the slide's responses have 33 to 333 tokens, as real ones do: half of the conversations of Azure's LLM inference
// trace of 2023 (AzurePublicDataset, CC-BY 4.0) have 85 to 395. A large model makes 50 tokens per second, so that a stream
// takes 0.7 to 7 s. No time is spent on computing: the labs measure the network.
func Shapes() []Shape {
	const kB, MB = 1_000, 1_000_000
	return []Shape{
		{Name: "llm", Request: Range{1 * kB, 50 * kB}, Response: Range{10 * kB, 100 * kB}, Token: 300, TokenRate: 50},
		{Name: "image", Request: Exactly(1 * kB), Response: Range{1 * MB, 10 * MB}},
		{Name: "embeddings", Request: Exactly(10 * kB), Response: Exactly(6 * MB)},
		{Name: "video", Request: Exactly(2 * MB), Response: Exactly(50 * kB)},
	}
}

// ShapeNamed returns the shape of slide 25 with a name.
func ShapeNamed(name string) (Shape, error) {
	all := Shapes()
	i := slices.IndexFunc(all, func(s Shape) bool { return s.Name == name })
	if i < 0 {
		var names []string
		for _, s := range all {
			names = append(names, s.Name)
		}
		return Shape{}, fmt.Errorf("unknown shape %q (want one of %s)", name, words.List(names))
	}
	return all[i], nil
}

// Validate returns every error in the shape, joined.
func (s Shape) Validate() error {
	var errs []error
	for _, one := range []struct {
		name string
		r    Range
		min  int64
	}{{"request", s.Request, 0}, {"response", s.Response, 1}} {
		if one.r.Min < one.min || one.r.Max < one.r.Min || one.r.Max > maxBody {
			errs = append(errs, fmt.Errorf("%s: found %d to %d bytes (want a range between %d and %d)", one.name, one.r.Min, one.r.Max, one.min, maxBody))
		}
	}
	errs = append(errs, s.stream().validate())
	if s.Compute < 0 || s.Compute > maxCompute {
		errs = append(errs, fmt.Errorf("compute time: found %s (want 0 to %s)", s.Compute, maxCompute))
	}
	if s.Token > 0 && s.Response.Min < s.Token {
		errs = append(errs, fmt.Errorf("response: found %d bytes (want at least a token of %d)", s.Response.Min, s.Token))
	}
	return errors.Join(errs...)
}

func (s Shape) stream() stream { return stream{token: s.Token, rate: s.TokenRate} }

// stream describes how a response is split into tokens; the zero value is one piece.
type stream struct {
	token int64   // bytes
	rate  float64 // tokens per second
}

func (s stream) validate() error {
	switch {
	case s.token == 0 && s.rate == 0:
		return nil
	case s.token < MinToken || s.token > MaxToken:
		return fmt.Errorf("token: found %d bytes (want %d to %d)", s.token, MinToken, MaxToken)
	case !(s.rate > 0 && s.rate <= maxTokenRate):
		return fmt.Errorf("token rate: found %v (want more than 0 and at most %v per second)", s.rate, maxTokenRate)
	}
	return nil
}

// tokens returns how many tokens a response has.
func (s stream) tokens(response int64) int64 { return max(response/s.token, 1) }
