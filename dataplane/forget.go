package dataplane

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// ForgetFlows forgets all flows through these frontends, on both sides: as LB node and as pod node. Whoever takes the frontends
// over, such as another service proxy, can have clients use the same ports again at once. It returns how many there were; one that
// begins meanwhile may be missed.
func (d *DataPath) ForgetFlows(frontends []netip.AddrPort) (int, error) {
	of := make(map[netip.AddrPort]bool, len(frontends))
	for _, f := range frontends {
		of[f] = true
	}
	forgotten := 0
	var errs []error
	for _, m := range []*ebpf.Map{d.objects.Flows, d.objects.FlowsUnconfirmed} {
		n, err := deleteWhere(m, func(key bpf.DatapathFlowKey, _ bpf.DatapathFlow) bool {
			return of[bpf.AddrPort(key.Destination, key.DestinationPort)]
		})
		forgotten, errs = forgotten+n, append(errs, err)
	}
	for _, m := range []*ebpf.Map{d.objects.Replies, d.objects.RepliesUnconfirmed} {
		n, err := deleteWhere(m, func(_ bpf.DatapathFlowKey, r bpf.DatapathReply) bool { return of[bpf.AddrPort(r.Frontend, r.Port)] })
		forgotten, errs = forgotten+n, append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return forgotten, fmt.Errorf("forget flows: %w", err)
	}
	return forgotten, nil
}

// deleteWhere deletes those entries of a map that are meant. What has gone by itself meanwhile is gone.
func deleteWhere[K comparable, V any](m *ebpf.Map, meant func(K, V) bool) (int, error) {
	var keys []K
	err := readEntries(m, func(key K, value V) {
		if meant(key, value) {
			keys = append(keys, key)
		}
	})
	for _, key := range keys {
		if deleteErr := m.Delete(key); deleteErr != nil && !errors.Is(deleteErr, ebpf.ErrKeyNotExist) {
			err = errors.Join(err, deleteErr)
		}
	}
	return len(keys), err
}
