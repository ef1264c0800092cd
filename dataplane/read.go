package dataplane

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
)

// Listed is a frontend as the tables hold it.
type Listed struct {
	Address  netip.AddrPort  `json:"address"`
	Protocol string          `json:"protocol"`
	Kind     string          `json:"kind"`            // LoadBalancer, NodePort, ExternalIP or ClusterIP
	Mode     string          `json:"mode"`            // dsr or snat
	Local    bool            `json:"local,omitempty"` // externalTrafficPolicy: Local
	Backends []ListedBackend `json:"backends"`
}

// ListedBackend is a backend of a frontend.
type ListedBackend struct {
	ID      uint32         `json:"id"`
	Address netip.AddrPort `json:"address"`
	Node    netip.Addr     `json:"node"`
	Slots   int            `json:"slots"` // of the frontend's Maglev table
}

// readInstalled reads back what earlier calls of Apply have left.
func (d *DataPath) readInstalled() (*installed, error) {
	now := &installed{image: *newImage(), index: make(map[digest]uint32), tables: d.objects.Maglev.MaxEntries()}
	byIndex := make(map[uint32]digest)
	digests := make(map[uint32]uint64)
	raw := make(map[datapathService4Key]datapathFrontend)
	if err := errors.Join(
		readMap(d.objects.Pods4, now.pods),
		readMap(d.objects.Nodes4, now.nodes),
		readMap(d.objects.Backends4, now.backends),
		readMap(d.objects.LocalBackends4, now.localBackends),
		readMap(d.objects.Digests, digests),
		readMap(d.objects.Frontends4, raw),
	); err != nil {
		return nil, err
	}
	for i, value := range digests {
		if value != 0 {
			now.index[digest(value)] = i
			byIndex[i] = digest(value)
		}
	}
	for key, f := range raw {
		entry := frontendEntry{datapathFrontend: f}
		if f.Backends > 0 {
			entry.table = byIndex[f.Table]
		}
		now.frontends[key] = entry
	}
	return now, nil
}

func readMap[K comparable, V any](m *ebpf.Map, into map[K]V) error {
	var key K
	var value V
	entries := m.Iterate()
	for entries.Next(&key, &value) {
		into[key] = value
	}
	if err := entries.Err(); err != nil {
		return fmt.Errorf("read map %v: %w", m, err)
	}
	return nil
}

// List reads all frontends with their backends, sorted by kind and address.
func (d *DataPath) List() ([]Listed, error) {
	now, err := d.readInstalled()
	if err != nil {
		return nil, fmt.Errorf("list frontends: %w", err)
	}
	var list []Listed
	for key, f := range now.frontends {
		if datapathFrontendKind(f.Kind) == datapathFrontendKindFRONTEND_GUARD {
			continue
		}
		l := Listed{
			Address:  netip.AddrPortFrom(fromAddr4(key.Addr), port16(key.Port)),
			Protocol: protocolName(key.Protocol),
			Kind:     kindName(datapathFrontendKind(f.Kind)),
			Mode:     modeName(datapathMode(f.Mode)),
			Local:    datapathFrontendFlags(f.Flags)&datapathFrontendFlagsFRONTEND_LOCAL_ONLY != 0,
		}
		if f.Backends > 0 {
			if l.Backends, err = d.listBackends(f.Table, f.Slots, now.backends); err != nil {
				return nil, fmt.Errorf("list frontends: %v: %w", l.Address, err)
			}
		}
		list = append(list, l)
	}
	slices.SortFunc(list, func(a, b Listed) int {
		if c := a.Address.Compare(b.Address); c != 0 {
			return c
		}
		return strings.Compare(a.Protocol, b.Protocol)
	})
	return list, nil
}

// listBackends reads a Maglev table slot by slot: it says what packets meet, not what was asked for.
func (d *DataPath) listBackends(index, size uint32, backends map[uint32]datapathBackend4) ([]ListedBackend, error) {
	var inner *ebpf.Map
	if err := d.objects.Maglev.Lookup(index, &inner); err != nil {
		return nil, fmt.Errorf("read Maglev table: %w", err)
	}
	defer inner.Close()
	keys, slots := make([]uint32, size), make([]uint32, size)
	if _, err := inner.BatchLookup(new(ebpf.MapBatchCursor), keys, slots, nil); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil, fmt.Errorf("read Maglev table: %w", err)
	}
	count := make(map[uint32]int)
	for _, id := range slots {
		count[id]++
	}
	var list []ListedBackend
	for id, n := range count {
		b := backends[id]
		list = append(list, ListedBackend{
			ID: id, Address: netip.AddrPortFrom(fromAddr4(b.Addr), port16(b.Port)), Node: fromAddr4(b.Node), Slots: n,
		})
	}
	slices.SortFunc(list, func(a, b ListedBackend) int { return a.Address.Compare(b.Address) })
	return list, nil
}

func kindName(k datapathFrontendKind) string {
	switch k {
	case datapathFrontendKindFRONTEND_NODE_PORT:
		return "NodePort"
	case datapathFrontendKindFRONTEND_EXTERNAL_IP:
		return "ExternalIP"
	case datapathFrontendKindFRONTEND_CLUSTER_IP:
		return "ClusterIP"
	}
	return "LoadBalancer"
}

func modeName(m datapathMode) string {
	if m == datapathModeMODE_DSR {
		return "dsr"
	}
	return "snat"
}
