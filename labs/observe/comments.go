package observe

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/gopacket/gopacket/layers"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/labs/capture"
	"github.com/dsrlab/dsrlab/labs/testbed"
)

// Comments says what a node's data path has decided about the packets of a capture on that node (netns.Commenter). Events are of first
// and last packets of flows, and of dropped ones: others have no comment.
type Comments struct {
	testbed   *testbed.Testbed
	node      string
	pods      bool // the capture has all devices, and so those of pods
	names     *dataplane.Names
	observed  observedNode
	decisions *capture.Decisions
}

// outsideDevice is that of every node towards the fabric.
const outsideDevice = "eth0"

// NewComments returns what comments on a capture of a device; all of them if device is empty. It is nil for what has no data path of ours,
// and for a single device that isn't the one towards the fabric: an event does not say from which pod's device it is. The caller
// closes it.
func NewComments(tb *testbed.Testbed, node, device string) (*Comments, error) {
	c := &Comments{testbed: tb, node: node, pods: device == "", decisions: capture.NewDecisions()}
	if n := tb.Plan().Node(node); n == nil || n.Role.OutsideCluster() || device != "" && device != outsideDevice {
		return nil, nil
	}
	var err error
	if c.names, err = dataplane.LoadNames(); err != nil {
		return nil, err
	}
	if c.observed, err = observeNode(tb, node); err != nil {
		if errors.Is(err, dataplane.ErrNotLoaded) {
			return nil, nil
		}
		return nil, err
	}
	return c, nil
}

// Close releases what is held of the data path.
func (c *Comments) Close() error { return c.observed.close() }

// Begin implements netns.Commenter.
func (c *Comments) Begin() error {
	c.observed.reader.Skip()
	return nil
}

// Packet implements netns.Commenter.
func (c *Comments) Packet(device string, frame []byte) {
	place := capture.FromPods
	if device == outsideDevice {
		place = capture.FromNetwork
	}
	c.decisions.Packet(place, frame)
}

// Comments implements netns.Commenter.
func (c *Comments) Comments(n int) []string { return c.decisions.Comments(n) }

// Read implements netns.Commenter. Events that are lost leave their packets, and those like them, without comment. So do those of a data
// path that replaces this one: they are in a map of its own.
func (c *Comments) Read() error {
	_, err := c.observed.reader.Read(func(e dataplane.Event) error {
		if s, ok := c.signature(e); ok {
			c.decisions.Decision(s, c.text(e))
		}
		return nil
	})
	return err
}

// signature is what a captured frame has in common with an event about it. It reports false for an event of a packet that the capture
// can't have: XDP is before it, and what leaves has been changed by the program when it is captured.
func (c *Comments) signature(e dataplane.Event) (s capture.Signature, ok bool) {
	s = capture.Signature{Source: e.Source, Destination: e.Destination, TCPFlags: uint8(e.TCPFlags), Bytes: int(e.Bytes)}
	switch {
	case e.Point == dataplane.FromNetwork:
		s.Place = capture.FromNetwork
	case e.Point == dataplane.FromPod && c.pods:
		s.Place = capture.FromPods
	default:
		return s, false
	}
	switch e.Protocol {
	case "TCP":
		s.Protocol = layers.IPProtocolTCP
	case "UDP":
		s.Protocol = layers.IPProtocolUDP
	default:
		return s, false
	}
	return s, e.Source.IsValid() && e.Destination.IsValid()
}

// text is the comment: dsrlab lb: to-overlay-dsr, frontend 203.0.113.10:80, backend 10.244.2.2:8080 (web) on worker.
func (c *Comments) text(e dataplane.Event) string {
	var b strings.Builder
	fmt.Fprintf(&b, "dsrlab %s: ", c.node)
	reason := c.names.Reason(e.Reason)
	if dataplane.IsDrop(e.Reason) {
		b.WriteString("dropped, ")
	}
	b.WriteString(reason)
	if e.Frontend.IsValid() {
		fmt.Fprintf(&b, ", frontend %v", e.Frontend)
		if e.Option && reason == "from-overlay" {
			b.WriteString(" by the DSR option")
		}
	}
	if e.Backend.IsValid() {
		fmt.Fprintf(&b, ", backend %s", c.backend(e.Backend))
	}
	if e.Node.IsValid() && reason == "from-overlay" {
		fmt.Fprintf(&b, ", from %s", c.nodeName(e.Node))
	}
	return b.String()
}

// backend is an address and port, with the names of its pod and node where the topology has them.
func (c *Comments) backend(a netip.AddrPort) string {
	pod := c.testbed.Plan().PodAt(a.Addr())
	if pod == nil {
		return a.String()
	}
	return fmt.Sprintf("%v (%s) on %s", a, pod.Name, pod.Node)
}

func (c *Comments) nodeName(a netip.Addr) string {
	if n := c.testbed.Plan().NodeAt(a); n != nil {
		return n.Name
	}
	return a.String()
}
