// Package probe sends single packets from a node or a client of a network, and reports which of them arrive at others, as they arrive:
// with which addresses, TTL and size, and whether the kernel has let them through to a socket.
//
// Packets are built here and sent by a packet socket, below the node's own rules, as an eBPF load balancer sends its replies. They are
// seen twice: at the device, before the kernel's own filters (reverse path, connection tracking, rules), and at a raw socket behind
// them. Only packets of a block of ports are looked at, and nothing of the network is changed.
package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/dsrlab/dsrlab/internal/words"
)

// Ports of probes: all use FirstPort or one of the PortCount that follow as a source or destination port. They are below the ports that
// clients get from the kernel, and below Kubernetes' NodePorts.
const (
	FirstPort = 29696
	PortCount = 256 // the filter masks ports, so it is a power of two, and FirstPort a multiple of it
)

// GenevePort is where tunnels arrive. ControlPort is a port of the same protocol that nothing is known to filter: if that one's packets
// arrive and a tunnel's don't, the port is blocked, and not UDP.
const (
	GenevePort  = 6081
	ControlPort = FirstPort + PortCount - 1
)

// Kind is what a probe looks like.
type Kind string

const (
	KindUDP    Kind = "udp"
	KindTCP    Kind = "tcp"
	KindGeneve Kind = "geneve" // UDP with the Geneve header and DSR option of a real tunnel, to any port
)

// Kinds returns all kinds.
func Kinds() []Kind { return []Kind{KindUDP, KindTCP, KindGeneve} }

// Flags of TCP segments.
const (
	SYN = 0x02
	ACK = 0x10
)

// DefaultTTL is that of a probe that sets none.
const DefaultTTL = 64

// Probe is a packet to send.
type Probe struct {
	// ID identifies the packet where it arrives. A TCP segment without data has it as its sequence number.
	ID          uint32         `json:"id"`
	Kind        Kind           `json:"kind"`
	Source      netip.AddrPort `json:"source"` // need not be the sender's own
	Destination netip.AddrPort `json:"destination"`
	// NextHop is the neighbour that the frame goes to; by default the route decides.
	NextHop netip.Addr `json:"nextHop,omitzero"`
	TTL     uint8      `json:"ttl,omitempty"` // 0 is DefaultTTL
	// Size of the packet in bytes from the IP header on; smaller than the headers need is the smallest possible.
	Size int `json:"size,omitempty"`
	// Flags, Sequence and Acknowledge are those of a TCP segment. Data reports whether it carries the ID as data; then Sequence
	// is its sequence number, otherwise the ID is.
	Flags       uint8  `json:"flags,omitempty"`
	Sequence    uint32 `json:"sequence,omitempty"`
	Acknowledge uint32 `json:"acknowledge,omitempty"`
	Data        bool   `json:"data,omitempty"`
	// Frontend is what the DSR option of a Geneve probe names.
	Frontend netip.AddrPort `json:"frontend,omitzero"`
}

// Validate returns every error in the probe.
func (p *Probe) Validate() error {
	var errs []error
	if !slices.Contains(Kinds(), p.Kind) {
		errs = append(errs, fmt.Errorf("kind: unknown kind %q (want one of %s)", p.Kind, words.List(Kinds())))
	}
	if !p.Source.IsValid() || !p.Destination.IsValid() || p.Source.Addr().Is4() != p.Destination.Addr().Is4() {
		errs = append(errs, fmt.Errorf("source, destination: found %v and %v (want two of one IP version)", p.Source, p.Destination))
	}
	if !isProbePort(p.Source.Port()) && !isProbePort(p.Destination.Port()) {
		errs = append(errs, fmt.Errorf("source, destination: found ports %d and %d (want one of %d to %d)", p.Source.Port(), p.Destination.Port(),
			FirstPort, FirstPort+PortCount-1))
	}
	if p.Kind == KindGeneve && p.Frontend.IsValid() && p.Frontend.Addr().Is4() != p.Source.Addr().Is4() {
		errs = append(errs, fmt.Errorf("frontend: found %v (want the IP version of %v)", p.Frontend, p.Source))
	}
	if p.Size > maxSize {
		errs = append(errs, fmt.Errorf("size: found %d (want at most %d bytes)", p.Size, maxSize))
	}
	return errors.Join(errs...)
}

// maxSize is the longest packet that IP has.
const maxSize = 65535

func isProbePort(port uint16) bool { return port >= FirstPort && port < FirstPort+PortCount }

// Level is where on its way through a machine a packet was seen.
type Level string

const (
	LevelLeft   Level = "left"   // as it went out by a device, behind all filters of the machine
	LevelDevice Level = "device" // as it came in, before the kernel has decided anything about it
	LevelSocket Level = "socket" // behind the kernel's filters, for an address of the machine
)

// Sighting is a probe that has arrived, or what a router said about one that has not.
type Sighting struct {
	// ID is the probe's.
	ID uint32 `json:"id"`
	// Level is where it was seen. At a socket of IPv6 there are no addresses, TTL and size.
	Level  Level  `json:"level"`
	Device string `json:"device,omitempty"` // not at LevelSocket

	Kind        Kind           `json:"kind"`
	Source      netip.AddrPort `json:"source,omitzero"`
	Destination netip.AddrPort `json:"destination,omitzero"`
	TTL         uint8          `json:"ttl,omitempty"`
	Size        int            `json:"size,omitempty"` // in bytes from the IP header on
	// Corrupt reports that a checksum did not match, or that the payload was not what was sent.
	Corrupt bool  `json:"corrupt,omitempty"`
	Flags   uint8 `json:"flags,omitempty"` // of a TCP segment

	// Router is who has returned the probe by ICMP, and Reason why; all else but the ID is that of the returned packet then.
	Router netip.Addr `json:"router,omitzero"`
	Reason Reason     `json:"reason,omitempty"`
	MTU    int        `json:"mtu,omitempty"` // with ReasonTooBig, in bytes; 0 where the router named none

	At time.Time `json:"at"`
}

// Reason is why a router has returned a packet.
type Reason string

const (
	ReasonExpired     Reason = "ttl-expired"
	ReasonTooBig      Reason = "too-big"
	ReasonUnreachable Reason = "unreachable"
	ReasonProhibited  Reason = "prohibited" // by an administrator's filter
)
