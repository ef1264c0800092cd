package dataplane

import (
	"errors"
	"fmt"
	"net/netip"
)

// AttachMode says how programs are attached to a device's ingress.
type AttachMode string

const (
	AttachAuto   AttachMode = ""       // TCX where the kernel has it (6.6 and later), else clsact
	AttachTCX    AttachMode = "tcx"    // a bpf_link of its own, pinned
	AttachClsact AttachMode = "clsact" // a filter of the clsact qdisc
)

// Config is what one node's data path is loaded with. It holds for the life of the programs; what changes while they run is
// in State.
type Config struct {
	// Address of the node on the fabric: outer source of Geneve, and the source that SNAT shows to pods.
	Address netip.Addr
	// Device is the name of the node's device towards the fabric.
	Device string
	// PinDir is the node's own folder on a bpffs. It is made if need be; its parent must exist.
	PinDir string
	// MTU of Device in bytes (default 1500).
	MTU int
	// VNI is Geneve's network identifier (default 2, which Cilium calls "world").
	VNI uint32
	// SNATPorts are the source ports that SNAT may use, first and last (default 32768 to 65535).
	SNATPorts [2]uint16
	// EventSample reports one in this many packets in the middle of flows; 0 reports only their first and last packets.
	EventSample uint32
	// Sizes of the maps.
	Sizes Sizes
	// Attach forces one way of attaching, for tests.
	Attach AttachMode
}

// Sizes are map capacities in entries. Zero takes the default.
type Sizes struct {
	Frontends uint32 // default 65536; 24 bytes an entry
	Backends  uint32 // default 65536; 16 bytes an entry
	Tables    uint32 // Maglev tables, default 4096; 4 bytes a slot for each that is in use
	Flows     uint32 // LB node, default 262144; 32 bytes an entry, the least recently used goes first
	SNATPorts uint32 // LB node, default 131072; 36 bytes an entry, likewise
	Replies   uint32 // pod node, default 262144; 24 bytes an entry, likewise
	Pods      uint32 // default 1024; 20 bytes an entry
	Events    uint32 // bytes of the event ring, a power of two (default 1 MiB)
}

// Defaults of Config.
const (
	DefaultMTU = 1500
	DefaultVNI = 2
)

// withDefaults returns c with every zero field filled in, or all that is wrong with it.
func (c Config) withDefaults() (Config, error) {
	c.MTU = orDefault(c.MTU, DefaultMTU)
	c.VNI = orDefault(c.VNI, DefaultVNI)
	c.SNATPorts = orDefault(c.SNATPorts, [2]uint16{32768, 65535})
	var errs []error
	if !c.Address.Is4() {
		errs = append(errs, fmt.Errorf("node address %v: must be an IPv4 address", c.Address))
	}
	if c.Device == "" {
		errs = append(errs, errors.New("device: must be named"))
	}
	if c.PinDir == "" {
		errs = append(errs, errors.New("pin folder: must be named"))
	}
	if c.VNI >= 1<<24 {
		errs = append(errs, fmt.Errorf("VNI %d: must be less than 16777216", c.VNI))
	}
	if c.SNATPorts[0] > c.SNATPorts[1] {
		errs = append(errs, fmt.Errorf("SNAT ports %d to %d: first must not be after last", c.SNATPorts[0], c.SNATPorts[1]))
	}
	return c, errors.Join(errs...)
}

func orDefault[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}
