package workload

import (
	"sync"
	"time"
)

const (
	// sampleInterval is how often TCP_INFO is read.
	sampleInterval = 100 * time.Millisecond
	// maxSamples bounds a report. In a transfer that would have more, every second sample is dropped, as often as
	// needed.
	maxSamples = 3000
)

// sampler reads a session's TCP_INFO and byte counts while the transfer runs.
type sampler struct {
	session *session
	quit    chan struct{}
	done    chan struct{}
	once    sync.Once
	samples []Sample // owned by the goroutine until done is closed
}

func startSampler(s *session) *sampler {
	p := &sampler{session: s, quit: make(chan struct{}), done: make(chan struct{})}
	go p.loop()
	return p
}

// stop takes the last sample, ends the sampler and returns the samples. Further calls return the same.
func (p *sampler) stop() []Sample {
	p.once.Do(func() { close(p.quit) })
	<-p.done
	return p.samples
}

func (p *sampler) loop() {
	defer close(p.done)
	interval := sampleInterval
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p.take()
			if len(p.samples) >= maxSamples {
				p.samples = everySecond(p.samples)
				interval *= 2
				ticker.Reset(interval)
			}
		case <-p.quit:
			p.take()
			return
		}
	}
}

// take appends a sample. The bytes are read first, so that they never exceed what TCP_INFO counts. A socket that gives
// no TCP_INFO has been closed by its owner, and the transfer's own error has the reason.
func (p *sampler) take() {
	s := Sample{
		At:       time.Since(p.session.began),
		Sent:     p.session.sent.Load(),
		Received: p.session.received.Load(),
	}
	var err error
	if s.TCP, err = readTCPInfo(p.session.raw); err == nil {
		p.samples = append(p.samples, s)
	}
}

// everySecond keeps the second of each pair of samples, in place.
func everySecond(samples []Sample) []Sample {
	kept := samples[:0]
	for i := 1; i < len(samples); i += 2 {
		kept = append(kept, samples[i])
	}
	return kept
}
