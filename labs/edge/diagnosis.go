package edge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/labs/capture"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
)

// Observed holds what was seen while requests were made. Diagnose interprets it.
type Observed struct {
	Edge     testbed.Edge
	EdgeNode string // in front of the LB nodes; empty without one
	// SpoofDrops are the packets dropped at each node's port of the fabric.
	SpoofDrops map[string]uint64
	// Client is the node that called, and Calls is how many different flows it began.
	Client string
	Calls  int
	// WrongSource counts replies whose source is not the address that the client called, and Resets the RSTs that the client sent for them.
	WrongSource, Resets int
	// Called and Answered are an example: the address that the client called, and the source of the reply.
	Called, Answered netip.AddrPort
}

// Failure is a point where requests or replies were dropped.
type Failure struct {
	Place   string // a node, or a node's port of the fabric
	Counter string
	Count   uint64 // packets
	Text    string
}

// Diagnose returns the points where replies were dropped. It returns none if nothing was seen to go wrong, whether requests were
// answered or not.
func Diagnose(o Observed) []Failure {
	var all []Failure
	for _, node := range slices.Sorted(maps.Keys(o.SpoofDrops)) {
		if n := o.SpoofDrops[node]; n > 0 {
			all = append(all, Failure{
				Place: "fabric port of " + node, Counter: "spoof_drops", Count: n,
				Text: fmt.Sprintf("spoof protection dropped %d packets from %s whose source is neither the node's nor its pods'", n, node),
			})
		}
	}
	if o.WrongSource > 0 {
		text := fmt.Sprintf("%d answers came from %v, but %s had called %v and refused them (%d resets)",
			o.WrongSource, o.Answered, o.Client, o.Called, o.Resets)
		if o.Edge == testbed.EdgeStateful {
			text += fmt.Sprintf(": they went past %s, which alone could have translated them back", o.EdgeNode)
		}
		all = append(all, Failure{Place: o.Client, Counter: "answers_from_wrong_source", Count: uint64(o.WrongSource), Text: text})
	}
	return all
}

// Investigation watches a client and the fabric's ports while requests are made.
type Investigation struct {
	testbed *testbed.Testbed
	client  topologies.Node
	before  map[string]uint64
	packets bytes.Buffer
	stop    func() error
}

// Investigate begins to watch. The caller ends it with Conclude.
func Investigate(ctx context.Context, tb *testbed.Testbed, client string) (*Investigation, error) {
	node := tb.Plan().Node(client)
	if node == nil {
		return nil, fmt.Errorf("investigate: unknown node %q", client)
	}
	i := &Investigation{testbed: tb, client: *node}
	var err error
	if i.before, err = spoofDrops(tb); err != nil {
		return nil, fmt.Errorf("investigate: %w", err)
	}
	if i.stop, err = tb.Network().StartCapture(ctx, client, "eth0", &i.packets); err != nil {
		return nil, fmt.Errorf("investigate: %w", err)
	}
	return i, nil
}

// Conclude ends the watch and returns what was seen.
func (i *Investigation) Conclude() (Observed, error) {
	o, err := i.conclude()
	if err != nil {
		return o, fmt.Errorf("conclude: %w", err)
	}
	return o, nil
}

func (i *Investigation) conclude() (Observed, error) {
	o := Observed{Client: i.client.Name, SpoofDrops: make(map[string]uint64)}
	if err := i.stop(); err != nil {
		return o, err
	}
	after, dropsErr := spoofDrops(i.testbed)
	for node, n := range after {
		if was := i.before[node]; n >= was { // less: protection was switched on again
			n -= was
		}
		o.SpoofDrops[node] = n
	}
	e, edgeErr := Of(i.testbed)
	o.Edge = e
	node, nodeErr := Node(i.testbed, e)
	if node != nil {
		o.EdgeNode = node.Name
	}
	return o, errors.Join(dropsErr, edgeErr, nodeErr, i.noteAnswers(&o))
}

// noteAnswers finds replies to one of the client's ports whose source is not the address that it called.
func (i *Investigation) noteAnswers(o *Observed) error {
	type port struct {
		address  netip.AddrPort
		protocol uint8
	}
	called := make(map[port][]netip.AddrPort) // by the client's own port
	mine := i.client.Addrs()
	return capture.Dissect(&i.packets, func(f *capture.Frame) {
		from := port{f.Source.Address, uint8(f.Source.Protocol)}
		to := port{f.Destination.Address, uint8(f.Destination.Protocol)}
		switch {
		case slices.Contains(mine, from.address.Addr()) && f.TCP != nil && f.TCP.RST:
			if !slices.Contains(called[from], to.address) {
				o.Resets++
			}
		case slices.Contains(mine, from.address.Addr()):
			if !slices.Contains(called[from], to.address) {
				called[from] = append(called[from], to.address)
				o.Calls++
			}
		case slices.Contains(mine, to.address.Addr()) && len(called[to]) > 0 && !slices.Contains(called[to], from.address):
			o.WrongSource++
			o.Called, o.Answered = called[to][0], from.address
		}
	})
}
