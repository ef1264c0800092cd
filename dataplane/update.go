package dataplane

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// change is one entry of one map that is put or deleted.
type change struct {
	mapName string
	delete  bool
	key     any
	value   any // for maglev a tableAt
}

// tableAt is a table that goes to an index of maglev.
type tableAt struct {
	index  uint32
	digest digest
	table  table
}

func (c change) String() string {
	if c.delete {
		return fmt.Sprintf("delete %s %+v", c.mapName, c.key)
	}
	return fmt.Sprintf("put %s %+v", c.mapName, c.key)
}

// installed is what the maps hold: an image, the index of each table, and how many tables fit.
type installed struct {
	image
	index  map[digest]uint32
	tables uint32
}

// planUpdate lists the changes that lead from what is installed to what is wanted. Their order keeps every intermediate state whole: what is referred to is there before what refers to it, and goes after it.
func planUpdate(now *installed, want *image) ([]change, error) {
	index, added, err := placeTables(now, want)
	if err != nil {
		return nil, err
	}
	frontends := withIndexes(want.frontends, index)
	puts := slices.Concat(
		putChanged(datapathMapPods4, now.pods, want.pods),
		putChanged(datapathMapNodes4, now.nodes, want.nodes),
		putChanged(datapathMapBackends4, now.backends, want.backends),
		putChanged(datapathMapLocalBackends4, now.localBackends, want.localBackends),
		added,
		putChanged(datapathMapFrontends4, withIndexes(now.frontends, now.index), frontends),
	)
	deletes := slices.Concat(
		deleteGone(datapathMapFrontends4, now.frontends, want.frontends),
		removeTables(now, want),
		deleteGone(datapathMapBackends4, now.backends, want.backends),
		deleteGone(datapathMapLocalBackends4, now.localBackends, want.localBackends),
		deleteGone(datapathMapNodes4, now.nodes, want.nodes),
		deleteGone(datapathMapPods4, now.pods, want.pods),
	)
	return append(puts, deletes...), nil
}

// placeTables gives each wanted table an index: the one it has, or a free one. A table that goes keeps its index until the
// frontends have left it, so it isn't free yet.
func placeTables(now *installed, want *image) (map[digest]uint32, []change, error) {
	used := make(map[uint32]bool, len(now.index))
	for _, i := range now.index {
		used[i] = true
	}
	index := make(map[digest]uint32, len(want.tables))
	var added []change
	next := uint32(0)
	for _, d := range slices.Sorted(maps.Keys(want.tables)) {
		if i, ok := now.index[d]; ok {
			index[d] = i
			continue
		}
		for used[next] {
			next++
		}
		if next >= now.tables {
			return nil, nil, fmt.Errorf("more than %d different sets of backends: raise Sizes.Tables", now.tables)
		}
		used[next] = true
		index[d] = next
		added = append(added, change{mapName: datapathMapMaglev, key: next, value: tableAt{next, d, want.tables[d]}})
	}
	return index, added, nil
}

func removeTables(now *installed, want *image) []change {
	var gone []change
	for _, d := range slices.Sorted(maps.Keys(now.index)) {
		if _, ok := want.tables[d]; !ok {
			gone = append(gone, change{mapName: datapathMapMaglev, delete: true, key: now.index[d]})
		}
	}
	return gone
}

func withIndexes(frontends map[datapathService4Key]frontendEntry, index map[digest]uint32) map[datapathService4Key]datapathFrontend {
	placed := make(map[datapathService4Key]datapathFrontend, len(frontends))
	for key, f := range frontends {
		value := f.datapathFrontend
		if f.table != 0 {
			value.Table = index[f.table]
		}
		placed[key] = value
	}
	return placed
}

func putChanged[K, V comparable](name string, now, want map[K]V) []change {
	var changes []change
	for _, key := range sortedKeys(want) {
		if old, ok := now[key]; !ok || old != want[key] {
			changes = append(changes, change{mapName: name, key: key, value: want[key]})
		}
	}
	return changes
}

func deleteGone[K comparable, V any](name string, now, want map[K]V) []change {
	var changes []change
	for _, key := range sortedKeys(now) {
		if _, ok := want[key]; !ok {
			changes = append(changes, change{mapName: name, delete: true, key: key})
		}
	}
	return changes
}

// sortedKeys orders keys as they stand in memory, which is all that a reproducible plan needs.
func sortedKeys[K comparable, V any](m map[K]V) []K {
	return slices.SortedFunc(maps.Keys(m), func(a, b K) int { return bytes.Compare(keyBytes(a), keyBytes(b)) })
}

func keyBytes(key any) []byte {
	b, err := binary.Append(nil, binary.NativeEndian, key)
	if err != nil {
		panic(fmt.Sprintf("key %T has no fixed size", key)) // keys are the generated structs and integers
	}
	return b
}
