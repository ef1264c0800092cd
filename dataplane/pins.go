package dataplane

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
)

// A node's pin folder: maps/NAME, links/IFINDEX… for what is attached (see pinOf), and acceptedDir.
const (
	mapsDir  = "maps"
	linksDir = "links"
)

// byName are the fields of all maps.
func (m *datapathMaps) byName() map[string]**ebpf.Map {
	return map[string]**ebpf.Map{
		datapathMapAffinities: &m.Affinities, datapathMapBackends: &m.Backends, datapathMapCluster: &m.Cluster,
		datapathMapCounters: &m.Counters, datapathMapEvents: &m.Events, datapathMapFlows: &m.Flows,
		datapathMapFlowsUnconfirmed: &m.FlowsUnconfirmed, datapathMapFragments: &m.Fragments, datapathMapFrontends: &m.Frontends,
		datapathMapHops: &m.Hops, datapathMapLocalBackends: &m.LocalBackends, datapathMapNodes: &m.Nodes,
		datapathMapPods: &m.Pods, datapathMapRanges: &m.Ranges, datapathMapReplies: &m.Replies,
		datapathMapRepliesUnconfirmed: &m.RepliesUnconfirmed, datapathMapServiceCounters: &m.ServiceCounters,
		datapathMapServiceNames: &m.ServiceNames, datapathMapSlots: &m.Slots, datapathMapSnapshots: &m.Snapshots,
		datapathMapSnatPorts: &m.SnatPorts, datapathMapSnatPortsUnconfirmed: &m.SnatPortsUnconfirmed, datapathMapTracing: &m.Tracing,
	}
}

// byName are the fields of all programs.
func (p *datapathPrograms) byName() map[string]**ebpf.Program {
	return map[string]**ebpf.Program{
		datapathProgFromNetwork: &p.FromNetwork, datapathProgFromNetworkXdp: &p.FromNetworkXdp,
		datapathProgFromPod: &p.FromPod, datapathProgFromNode: &p.FromNode, datapathProgToPod: &p.ToPod,
	}
}

// openMaps opens all pinned maps, or none if the folder isn't there. The caller closes them.
func openMaps(pinDir string) (map[string]*ebpf.Map, error) {
	dir := filepath.Join(pinDir, mapsDir)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	maps := make(map[string]*ebpf.Map)
	for name := range new(datapathMaps).byName() {
		m, err := ebpf.LoadPinnedMap(filepath.Join(dir, name), nil)
		if err != nil {
			closeMaps(maps)
			return nil, fmt.Errorf("open pinned map %s: %w", name, err)
		}
		maps[name] = m
	}
	return maps, nil
}

func closeMaps(maps map[string]*ebpf.Map) {
	for _, m := range maps {
		m.Close()
	}
}

// pinMaps pins all maps into a temporary folder, which then gets its name in one step: a reader sees all maps or none.
func (d *DataPath) pinMaps() error {
	dir := filepath.Join(d.pinDir, mapsDir)
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	temporary := dir + "_new" // bpffs allows no dots
	if err := os.RemoveAll(temporary); err != nil {
		return fmt.Errorf("pin maps: %w", err)
	}
	if err := os.MkdirAll(temporary, 0o700); err != nil {
		return fmt.Errorf("pin maps: %w", err)
	}
	for name, m := range d.objects.datapathMaps.byName() {
		if err := (*m).Pin(filepath.Join(temporary, name)); err != nil {
			return errors.Join(fmt.Errorf("pin map %s: %w", name, err), os.RemoveAll(temporary))
		}
	}
	if err := os.Rename(temporary, dir); err != nil {
		return errors.Join(fmt.Errorf("pin maps: %w", err), os.RemoveAll(temporary))
	}
	return nil
}
