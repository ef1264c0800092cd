package labs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/dsrlab/dsrlab/labs/capture"
	"github.com/dsrlab/dsrlab/topologies"
)

// captured captures at the phase's nodes while f runs, keeps the captures, and records what they show.
// Samples: client_resets and lb_reply_frames (packets); of answers at the client and at the pod node (ratio)
// reply_source_frontend and pod_node_reply_frontend; of first packets between the nodes (ratio) geneve_option,
// geneve_between_nodes, geneve_option_frontend and geneve_inner_client.
func (t *trial) captured(ctx context.Context, f func() error) error {
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
		file, err := t.recorder.RawFile(t.captureName(node))
		if err != nil {
			return errors.Join(err, stopAll())
		}
		captures[node] = file
		stop, err := t.testbed.Network().StartCapture(ctx, node, "eth0", file)
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

// captureName returns the file of a node's capture; a trial that is taken again has files of its own.
func (t *trial) captureName(node string) string {
	if t.attempt > 1 {
		node = fmt.Sprintf("%s-take%d", node, t.attempt)
	}
	return fmt.Sprintf("%s-%s-%s.pcapng", t.phase.Name, t.variant.Name, node)
}

func (t *trial) readCaptures(captures map[string]*os.File) error {
	seen := t.lookFor()
	for _, name := range t.phase.Capture {
		node := t.testbed.Plan().Node(name)
		if node == nil {
			return fmt.Errorf("capture on %s: no such node", name)
		}
		file := captures[name]
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		err := capture.Dissect(file, func(p *capture.Frame) { seen.Add(*node, t.replySources, p) })
		if err != nil {
			return fmt.Errorf("capture on %s: %w", name, err)
		}
	}
	return t.recordFacts(&seen)
}

// lookFor returns empty facts for the trial's client and LB nodes.
func (t *trial) lookFor() capture.Facts {
	var f capture.Facts
	for _, n := range t.testbed.Plan().NodesOf(topologies.RoleClient) {
		f.Clients = append(f.Clients, n.Addresses[0].Addr())
	}
	for _, n := range t.testbed.LBNodes() {
		f.LBNodes = append(f.LBNodes, n.Addresses[0].Addr())
	}
	return f
}

// capturedMetrics are those that recordFacts records.
func capturedMetrics() []string {
	return []string{
		"client_resets", "lb_reply_frames", "reply_source_frontend", "pod_node_reply_frontend", "geneve_option", "geneve_between_nodes",
		"geneve_option_frontend", "geneve_inner_client",
	}
}

func (t *trial) recordFacts(seen *capture.Facts) error {
	errs := []error{
		t.sample("client_resets", "packets", float64(seen.ClientResets), nil),
		t.sample("lb_reply_frames", "packets", float64(seen.LBReplies), nil),
	}
	for _, share := range []struct {
		metric   string
		part, of int
	}{
		{"reply_source_frontend", seen.RepliesFromFrontend, seen.Replies},
		{"pod_node_reply_frontend", seen.LeavingFromFrontend, seen.Leaving},
		{"geneve_option", seen.TunnelledOption, seen.Tunnelled},
		{"geneve_between_nodes", seen.TunnelledNodes, seen.Tunnelled},
		{"geneve_option_frontend", seen.TunnelledCalled, seen.Tunnelled},
		{"geneve_inner_client", seen.TunnelledClient, seen.Tunnelled},
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
