package trial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/dsrlab/dsrlab/labs/capture"
	"github.com/dsrlab/dsrlab/topologies"
)

// captured captures at some nodes while f runs, in the first repetition, keeps the captures, and records what they show.
// Samples: client_resets and lb_reply_frames (packets); of answers at the client and at the pod node (ratio)
// reply_source_frontend and pod_node_reply_frontend; of first packets between the nodes (ratio) geneve_option,
// geneve_between_nodes, geneve_option_frontend and geneve_inner_client.
func (t *Attempt) captured(ctx context.Context, nodes []string, f func() error) error {
	if len(nodes) == 0 || t.Repetition > 0 {
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
	for _, node := range nodes {
		file, err := t.Recorder.RawFile(t.captureName(node))
		if err != nil {
			return errors.Join(err, stopAll())
		}
		captures[node] = file
		stop, err := t.Testbed.Network().StartCapture(ctx, node, "eth0", file)
		if err != nil {
			return errors.Join(err, stopAll())
		}
		stops = append(stops, stop)
	}
	err := f()
	if err := errors.Join(err, stopAll()); err != nil {
		return err
	}
	return t.readCaptures(nodes, captures)
}

// captureName returns the file of a node's capture; a trial that is taken again has files of its own.
func (t *Attempt) captureName(node string) string {
	if t.Number > 1 {
		node = fmt.Sprintf("%s-take%d", node, t.Number)
	}
	return fmt.Sprintf("%s-%s-%s.pcapng", t.Phase, t.Variant.Name, node)
}

func (t *Attempt) readCaptures(nodes []string, captures map[string]*os.File) error {
	seen := t.lookFor()
	for _, name := range nodes {
		node := t.Testbed.Plan().Node(name)
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
func (t *Attempt) lookFor() capture.Facts {
	var f capture.Facts
	for _, n := range t.Testbed.Plan().NodesOf(topologies.RoleClient) {
		f.Clients = append(f.Clients, n.Addresses[0].Addr())
	}
	for _, n := range t.Testbed.LBNodes() {
		f.LBNodes = append(f.LBNodes, n.Addresses[0].Addr())
	}
	return f
}

// CapturedMetrics are those that are recorded of captures.
func CapturedMetrics() []string {
	return []string{
		"client_resets", "lb_reply_frames", "reply_source_frontend", "pod_node_reply_frontend", "geneve_option", "geneve_between_nodes",
		"geneve_option_frontend", "geneve_inner_client",
	}
}

func (t *Attempt) recordFacts(seen *capture.Facts) error {
	errs := []error{
		t.Sample("client_resets", "packets", float64(seen.ClientResets), nil),
		t.Sample("lb_reply_frames", "packets", float64(seen.LBReplies), nil),
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
			errs = append(errs, t.Sample(share.metric, "ratio", float64(share.part)/float64(share.of), nil))
		}
	}
	for _, shown := range []struct {
		what string
		p    *capture.Frame
	}{
		{"between the nodes", seen.FirstTunnelled}, {"answer at the client", seen.FirstReply}, {"the client resets", seen.FirstReset},
	} {
		if shown.p != nil {
			errs = append(errs, t.Evidence(shown.what+": "+shown.p.String()))
		}
	}
	return errors.Join(errs...)
}
