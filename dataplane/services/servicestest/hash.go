package servicestest

import (
	"net/netip"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// HashFlow is hash_flow of bpf/address.h: by which packet programs select a flow's backend.
func HashFlow(source, destination netip.AddrPort, protocol services.Protocol) uint32 {
	from, to := bpf.WireAddress(source.Addr()).Word, bpf.WireAddress(destination.Addr()).Word
	h := uint64(0)
	for _, value := range []uint64{
		uint64(from[0])<<32 | uint64(from[1]), uint64(from[2])<<32 | uint64(from[3]),
		uint64(to[0])<<32 | uint64(to[1]), uint64(to[2])<<32 | uint64(to[3]),
		uint64(bpf.Port16(source.Port()))<<24 | uint64(bpf.Port16(destination.Port()))<<8 | uint64(protocol),
	} {
		h = (h ^ value) * 0x9e3779b97f4a7c15
		h ^= h >> 32
	}
	return uint32(h * 0xd6e8feb86659fd93 >> 32)
}
