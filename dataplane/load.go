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
)

// ErrNotLoaded says that a pin folder holds no data path.
var ErrNotLoaded = errors.New("no data path is loaded here")

// DataPath is one node's load balancer. It isn't safe for concurrent use.
type DataPath struct {
	objects datapathObjects
	pinDir  string
}

// Load loads the programs of a node and pins them. Maps that are pinned there already are taken over with all they hold, so
// running flows go on; programs that are attached there are replaced, each in one step (see Attach). Call it in the node's
// network namespace.
func Load(config Config) (*DataPath, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("load data path: %w", err)
	}
	device, err := net.InterfaceByName(config.Device)
	if err != nil {
		return nil, fmt.Errorf("load data path: device %s: %w", config.Device, err)
	}
	spec, err := specOf(config, device)
	if err != nil {
		return nil, fmt.Errorf("load data path: %w", err)
	}
	if err := rlimit.RemoveMemlock(); err != nil && !errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("load data path: %w", err)
	}
	d := &DataPath{pinDir: config.PinDir}
	options := &ebpf.CollectionOptions{}
	if options.MapReplacements, err = openMaps(config.PinDir); err != nil {
		return nil, fmt.Errorf("load data path: %w", err)
	}
	err = spec.LoadAndAssign(&d.objects, options)
	closeMaps(options.MapReplacements)
	if err != nil {
		return nil, fmt.Errorf("load data path: %w", err)
	}
	if err := d.pinMaps(); err != nil {
		d.Close()
		return nil, fmt.Errorf("load data path: %w", err)
	}
	if err := d.Attach(config.Device, FromNetwork, config.Attach); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// specOf is the collection as it is to be loaded: sizes and constants of the configuration filled in. It is pure.
func specOf(config Config, device *net.Interface) (*ebpf.CollectionSpec, error) {
	spec, err := loadDatapath()
	if err != nil {
		return nil, err
	}
	var s datapathSpecs
	if err := spec.Assign(&s); err != nil {
		return nil, err
	}
	for m, size := range map[*ebpf.MapSpec]uint32{
		s.Frontends4: config.Sizes.Frontends, s.Backends4: config.Sizes.Backends, s.Flows4: config.Sizes.Flows,
		s.SnatPorts4: config.Sizes.SNATPorts, s.Replies4: config.Sizes.Replies, s.Pods4: config.Sizes.Pods,
		s.Maglev: config.Sizes.Tables, s.Digests: config.Sizes.Tables, s.Events: config.Sizes.Events,
	} {
		m.MaxEntries = orDefault(size, m.MaxEntries)
	}
	var mac [6]uint8
	copy(mac[:], device.HardwareAddr)
	return spec, errors.Join(
		s.NodeAddr4.Set(addr4(config.Address)),
		s.OutsideIfindex.Set(uint32(device.Index)),
		s.OutsideMac.Set(mac),
		s.Mtu.Set(uint32(config.MTU)),
		s.Vni.Set(config.VNI),
		s.SnatPortFirst.Set(config.SNATPorts[0]),
		s.SnatPortLast.Set(config.SNATPorts[1]),
		s.EventSample.Set(config.EventSample),
	)
}

// Open takes hold of the maps of a data path that is loaded already, to fill or read them. It returns ErrNotLoaded if there
// is none.
func Open(pinDir string) (*DataPath, error) {
	maps, err := openMaps(pinDir)
	if err != nil {
		return nil, fmt.Errorf("open data path: %w", err)
	}
	if len(maps) == 0 {
		return nil, fmt.Errorf("open data path %s: %w", pinDir, ErrNotLoaded)
	}
	d := &DataPath{pinDir: pinDir}
	d.assign(maps)
	return d, nil
}

// Close gives up this process's hold. What is pinned and attached stays.
func (d *DataPath) Close() error {
	return d.objects.Close()
}

// Unload detaches the programs of a node and removes all its pins; flows are forgotten. With nothing loaded it does nothing.
// Call it in the node's network namespace.
func Unload(pinDir string) error {
	if _, err := os.Stat(pinDir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := detachAll(filepath.Join(pinDir, linksDir)); err != nil {
		return fmt.Errorf("unload data path: %w", err)
	}
	if err := os.RemoveAll(pinDir); err != nil {
		return fmt.Errorf("unload data path: %w", err)
	}
	return nil
}
