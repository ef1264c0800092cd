package dataplane

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// A node's pin folder: maps/NAME, links/IFINDEX… for what is attached (see pinOf), and acceptedDir.
const (
	mapsDir  = "maps"
	linksDir = "links"
)

// openMaps opens all pinned maps, or none if the folder isn't there. The caller closes them.
func openMaps(pinDir string) (map[string]*ebpf.Map, error) {
	dir := filepath.Join(pinDir, mapsDir)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	maps := make(map[string]*ebpf.Map)
	for name := range new(bpf.DatapathMaps).ByName() {
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
	for name, m := range d.objects.DatapathMaps.ByName() {
		if err := (*m).Pin(filepath.Join(temporary, name)); err != nil {
			return errors.Join(fmt.Errorf("pin map %s: %w", name, err), os.RemoveAll(temporary))
		}
	}
	if err := os.Rename(temporary, dir); err != nil {
		return errors.Join(fmt.Errorf("pin maps: %w", err), os.RemoveAll(temporary))
	}
	return nil
}

// Pinned reports whether the pin folder still holds this data path: not after it was unloaded, also if another was loaded since.
func (d *DataPath) Pinned() bool {
	pinned, err := ebpf.LoadPinnedMap(filepath.Join(d.pinDir, mapsDir, bpf.DatapathMapEvents), nil)
	if err != nil {
		return false
	}
	defer pinned.Close()
	id := func(m *ebpf.Map) ebpf.MapID {
		info, err := m.Info()
		if err != nil {
			return 0
		}
		id, _ := info.ID()
		return id
	}
	return id(pinned) == id(d.objects.Events)
}
