// Package dataplane is the node's eBPF load balancer: it loads and attaches the programs of bpf/, fills their tables, and
// reads what they did. There is no daemon: programs, links and maps are pinned, and live on when the process ends.
//
// Load and Attach act on one node, in whose network namespace they must be called.
package dataplane

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/tables"
	"github.com/dsrlab/dsrlab/internal/capability"
)

// ErrNotLoaded says that a pin folder holds no data path.
var ErrNotLoaded = errors.New("no data path is loaded here")

// DataPath is one node's load balancer. It isn't safe for concurrent use, but for Events, Trace, counters and what else only
// reads.
type DataPath struct {
	objects bpf.DatapathObjects
	pinDir  string
	notice  error           // what is not as asked for, or as it should be, and why
	mirror  *tables.Mirror  // what the maps hold; nil: unknown, read back by the next reconcile
	desired *tables.Desired // what they are to hold; nil before the first Apply
	clock   clock           // nil: the system's
}

// Load loads the programs of a node, pins them, and attaches them to the device. Maps that are pinned there already are taken
// over with all they hold, so running flows go on; programs that are attached there are replaced, each in one step (see
// Attach). Call it in the node's network namespace.
func Load(config Config) (*DataPath, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("load data path: %w", err)
	}
	device, err := net.InterfaceByName(config.Device)
	if err != nil {
		return nil, fmt.Errorf("load data path: device %s: %w", config.Device, err)
	}
	d := &DataPath{pinDir: config.PinDir}
	if config.snatPorts, err = d.chooseSNATPorts(config.snatPorts); err != nil {
		return nil, fmt.Errorf("load data path: %w", err)
	}
	spec, err := specOf(config, device)
	if err != nil {
		return nil, fmt.Errorf("load data path: %w", err)
	}
	if err := rlimit.RemoveMemlock(); err != nil && !errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("load data path: %w", err)
	}
	if err := d.load(spec, config); err != nil {
		err = capability.Explain(err, capability.NetAdmin, capability.BPF, capability.Perfmon)
		return nil, errors.Join(fmt.Errorf("load data path: %w", err), d.Close())
	}
	return d, nil
}

// load makes programs and maps of spec, pins the maps and attaches the programs.
func (d *DataPath) load(spec *ebpf.CollectionSpec, config Config) error {
	if config.Hook != HookXDP {
		delete(spec.Programs, bpf.DatapathProgFromNetworkXdp) // it need not be verified
	}
	options := ebpf.CollectionOptions{}
	var err error
	if options.MapReplacements, err = openMaps(config.PinDir); err != nil {
		return err
	}
	collection, err := ebpf.NewCollectionWithOptions(spec, options)
	closeMaps(options.MapReplacements)
	if errors.Is(err, ebpf.ErrMapIncompatible) {
		return fmt.Errorf("the maps pinned in %s have other sizes or are of another version: unload them first, with what loaded them (dsrlab down; dsrd's: rm -r %[1]s on the node): %w", config.PinDir, err)
	}
	if err != nil {
		return err
	}
	defer collection.Close()
	d.assign(collection)
	if err := d.pinMaps(); err != nil {
		return err
	}
	return d.attachDevice(config)
}

// assign takes what is ours out of a collection.
func (d *DataPath) assign(c *ebpf.Collection) {
	for name, field := range d.objects.DatapathMaps.ByName() {
		*field = c.DetachMap(name)
	}
	for name, field := range d.objects.DatapathPrograms.ByName() {
		*field = c.DetachProgram(name)
	}
}

// specOf is the collection as it is to be loaded: sizes and constants of the configuration filled in. It is pure.
func specOf(config Config, device *net.Interface) (*ebpf.CollectionSpec, error) {
	spec, err := bpf.LoadDatapath()
	if err != nil {
		return nil, err
	}
	var s bpf.DatapathSpecs
	if err := spec.Assign(&s); err != nil {
		return nil, err
	}
	for name, entries := range config.Sizes.Capacities() {
		spec.Maps[name].MaxEntries = entries
	}
	var addresses [2]bpf.DatapathAddress
	for _, a := range config.Addresses {
		if a = a.Unmap(); a.Is4() {
			addresses[0] = bpf.WireAddress(a)
		} else {
			addresses[1] = bpf.WireAddress(a)
		}
	}
	flag := map[bool]uint8{true: 1}
	return spec, errors.Join(
		s.TunnelIpv4.Set(flag[config.Addresses[0].Unmap().Is4()]),
		s.MarkTunnels.Set(flag[!config.unmarked]),
		s.NodeAddr4.Set(addresses[0]),
		s.NodeAddr6.Set(addresses[1]),
		s.OutsideIfindex.Set(uint32(device.Index)),
		s.OutsideMac.Set(bpf.WireMAC(device.HardwareAddr)),
		s.Mtu.Set(uint32(config.MTU)),
		s.EventMask.Set(config.Sizes.Events-1),
		s.PreciseEvents.Set(flag[config.PreciseEvents]),
		s.Broken.Set(faultNumber(config.Fault)),
		setPorts(&s, config.snatPorts),
	)
}

// setPorts sets the ports for SNAT; if they are zero, those of bpf/config.h stay.
func setPorts(s *bpf.DatapathSpecs, ports portRange) error {
	if ports == (portRange{}) {
		return nil
	}
	return errors.Join(s.SnatPortFirst.Set(ports.first), s.SnatPortLast.Set(ports.last))
}

// Open opens the maps of a data path that is loaded already, to fill or read them. It returns ErrNotLoaded if there is none.
func Open(pinDir string) (*DataPath, error) {
	maps, err := openMaps(pinDir)
	if err != nil {
		return nil, fmt.Errorf("open data path: %w", err)
	}
	if len(maps) == 0 {
		return nil, fmt.Errorf("open data path %s: %w", pinDir, ErrNotLoaded)
	}
	d := &DataPath{pinDir: pinDir}
	for name, field := range d.objects.DatapathMaps.ByName() {
		*field = maps[name]
	}
	return d, nil
}

// Close releases this process's file descriptors. What is pinned and attached stays.
func (d *DataPath) Close() error {
	return d.objects.Close()
}

// Unload detaches the programs of a node and removes all its pins; flows are forgotten. With nothing loaded it does nothing.
// Call it in the node's network namespace.
func Unload(pinDir string) error {
	if _, err := os.Stat(pinDir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := errors.Join(detachAll(filepath.Join(pinDir, linksDir)), refuseOwn(pinDir), takeTagsAgain(pinDir)); err != nil {
		return fmt.Errorf("unload data path: %w", err)
	}
	if err := os.RemoveAll(pinDir); err != nil {
		return fmt.Errorf("unload data path: %w", err)
	}
	return nil
}
