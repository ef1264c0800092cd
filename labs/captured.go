package labs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/dsrlab/dsrlab/labs/capture"
	"github.com/dsrlab/dsrlab/topologies"
)

// captured captures at the phase's nodes while f runs, keeps the captures, and records what they show.
// Samples: client_resets and lb_reply_frames (packets), reply_source_frontend and geneve_option (ratio).
func (t *turn) captured(ctx context.Context, f func() error) error {
	if len(t.phase.Capture) == 0 || t.repetition > 0 {
		return f()
	}
	captures := make(map[string]*os.File)
	defer func() {
		for _, file := range captures {
			file.Close()
		}
	}()
	var stops []func() error
	stopAll := func() error {
		var errs []error
		for _, stop := range stops {
			errs = append(errs, stop())
		}
		stops = nil
		return errors.Join(errs...)
	}
	for _, node := range t.phase.Capture {
		file, err := t.recorder.RawFile(fmt.Sprintf("%s-%s-%s.pcapng", t.phase.Name, t.variant.Name, node))
		if err != nil {
			return errors.Join(err, stopAll())
		}
		captures[node] = file
		stop, err := t.stand.Lab().StartCapture(ctx, node, "eth0", file)
		if err != nil {
			return errors.Join(err, stopAll())
		}
		stops = append(stops, stop)
	}
	err := f()
	if err := errors.Join(err, stopAll()); err != nil {
		return err
	}
	return t.readCaptures(captures)
}

func (t *turn) readCaptures(captures map[string]*os.File) error {
	var seen capture.Facts
	for _, name := range t.phase.Capture {
		i := slices.IndexFunc(t.stand.Plan().Nodes, func(n topologies.Node) bool { return n.Name == name })
		if i < 0 {
			return fmt.Errorf("capture on %s: no such node", name)
		}
		file := captures[name]
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		err := capture.Dissect(file, func(p *capture.Frame) { seen.Note(t.stand.Plan().Nodes[i], t.answers, p) })
		if err != nil {
			return fmt.Errorf("capture on %s: %w", name, err)
		}
	}
	return t.recordFacts(&seen)
}

func (t *turn) recordFacts(seen *capture.Facts) error {
	errs := []error{
		t.sample("client_resets", "packets", float64(seen.ClientResets), nil),
		t.sample("lb_reply_frames", "packets", float64(seen.LBReplies), nil),
	}
	for _, share := range []struct {
		metric   string
		part, of int
	}{
		{"reply_source_frontend", seen.RepliesFromFrontend, seen.Replies},
		{"geneve_option", seen.TunnelledOption, seen.Tunnelled},
	} {
		if share.of > 0 { // a variant without tunnel has none to take a part of
			errs = append(errs, t.sample(share.metric, "ratio", ratio(share.part, share.of), nil))
		}
	}
	for _, shown := range []struct {
		what string
		p    *capture.Frame
	}{
		{"between the nodes", seen.FirstTunnelled}, {"answer at the client", seen.FirstReply}, {"the client resets", seen.FirstReset},
	} {
		if shown.p != nil {
			errs = append(errs, t.evidence(shown.what+": "+shown.p.String()))
		}
	}
	return errors.Join(errs...)
}
