package dataplane

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
)

// AttachMode says how tc programs are attached to a device.
type AttachMode string

const (
	AttachAuto   AttachMode = ""       // TCX where the kernel has it (6.6 and later), else clsact
	AttachTCX    AttachMode = "tcx"    // a bpf_link of its own, pinned
	AttachClsact AttachMode = "clsact" // a filter of the clsact qdisc
)

// Hook says where packets from the network are handled first.
type Hook string

const (
	HookTC  Hook = "tc"  // when the kernel has made a socket buffer of the packet
	HookXDP Hook = "xdp" // in the device's driver; tc handles what XDP leaves to it
)

// Config is what one node's data path is loaded with. It holds for the life of the programs; what changes while they run is
// in State.
type Config struct {
	// Addresses of the node on the fabric, one or none of each family: outer source of Geneve, and the source that SNAT shows
	// to pods. Tunnels to the node are of the first one's family.
	Addresses []netip.Addr
	// Device is the name of the node's device towards the fabric.
	Device string
	// PinDir is the node's own folder on a bpffs. It is made if need be; its parent must exist.
	PinDir string
	// MTU of Device in bytes (default 1500).
	MTU int
	// Sizes of the maps.
	Sizes Sizes
	// Hook on Device (default HookTC). Where the driver refuses XDP it is tc all the same; see DataPath.Notice.
	Hook Hook
	// Fault is what is broken on purpose (default FaultNone).
	Fault Fault
	// PreciseEvents gives events their time to the nanosecond, so that those of several nodes of one machine can be put in order. Else it
	// is that of the kernel's last tick, 1 to 10 ms ago: reading the precise clock makes a new flow cost about a tenth more.
	PreciseEvents bool
	// Attach forces one way of attaching at tc, for tests.
	Attach AttachMode

	// unmarked leaves the kernel untold of tunnels, for benchmarks: it takes the news only once for a packet.
	unmarked bool
	// snatPorts are the source ports for SNAT, for tests (default: those of snatPortsBeside).
	snatPorts portRange
}

// DefaultMTU is that of Config.
const DefaultMTU = 1500

// withDefaults returns c with every zero field filled in, or all that is wrong with it.
func (c Config) withDefaults() (Config, error) {
	c.MTU = cmp.Or(c.MTU, DefaultMTU)
	c.Hook = cmp.Or(c.Hook, HookTC)
	c.Sizes = c.Sizes.WithDefaults()
	errs := []error{c.checkAddresses()}
	if c.Device == "" {
		errs = append(errs, errors.New("device: must be named"))
	}
	if c.PinDir == "" {
		errs = append(errs, errors.New("pin folder: must be named"))
	}
	if c.MTU < 576 || c.MTU > 65535 {
		errs = append(errs, fmt.Errorf("MTU %d: must be from 576 to 65535", c.MTU))
	}
	if c.Hook != HookTC && c.Hook != HookXDP {
		errs = append(errs, fmt.Errorf("hook %q: must be tc or xdp", c.Hook))
	}
	if _, err := ParseFault(string(c.Fault)); err != nil {
		errs = append(errs, err)
	}
	return c, errors.Join(append(errs, c.Sizes.Check()...)...)
}

// checkAddresses finds what is wrong with the node's addresses.
func (c Config) checkAddresses() error {
	if len(c.Addresses) == 0 {
		return errors.New("node addresses: must be one of IPv4, one of IPv6, or both")
	}
	var errs []error
	var seen [2]netip.Addr
	for _, a := range c.Addresses {
		family, name := 0, "IPv4"
		if !a.Unmap().Is4() {
			family, name = 1, "IPv6"
		}
		switch {
		case !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "":
			errs = append(errs, fmt.Errorf("node address %v: must be a unicast address without zone", a))
		case seen[family].IsValid():
			errs = append(errs, fmt.Errorf("node addresses %v and %v: must be one of %s at most", seen[family], a, name))
		default:
			seen[family] = a
		}
	}
	return errors.Join(errs...)
}
