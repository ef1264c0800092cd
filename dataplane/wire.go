package dataplane

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/cespare/xxhash/v2"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// Maps hold addresses and ports as they stand in packets. In Go's memory such a word is a number of this machine's byte
// order, so it is read and written through the bytes.

// wireAddress is an address as maps hold it: an IPv4 one mapped into IPv6. The zero Addr gives zeroes.
func wireAddress(a netip.Addr) bpf.DatapathAddress {
	var w bpf.DatapathAddress
	b := a.As16()
	for i := range w.Word {
		w.Word[i] = binary.NativeEndian.Uint32(b[4*i:])
	}
	return w
}

// addrPort is the zero value for an address of zeroes: not known.
func addrPort(w bpf.DatapathAddress, port uint16) netip.AddrPort {
	if w == (bpf.DatapathAddress{}) {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(w.Addr(), port16(port))
}

// port16 is a port as a __be16, and its own inverse.
func port16(p uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], p)
	return binary.NativeEndian.Uint16(b[:])
}

// wireMAC is an Ethernet address, zeroes where there is none.
func wireMAC(a net.HardwareAddr) [6]uint8 {
	var mac [6]uint8
	if len(a) == len(mac) {
		copy(mac[:], a)
	}
	return mac
}

// wirePrefix is a prefix as tries hold it: how many bits of the 128 count, and the address without the others.
func wirePrefix(p netip.Prefix) (uint32, bpf.DatapathAddress) {
	bits := uint32(p.Bits())
	if p.Addr().Is4() {
		bits += 96
	}
	return bits, wireAddress(p.Masked().Addr())
}

// prefixOf is the inverse of wirePrefix.
func prefixOf(bits uint32, w bpf.DatapathAddress) netip.Prefix {
	a := w.Addr()
	if !a.IsValid() {
		a = netip.IPv6Unspecified()
	}
	if a.Is4() && bits >= 96 {
		return netip.PrefixFrom(a, int(bits)-96)
	}
	return netip.PrefixFrom(netip.AddrFrom16(a.As16()), int(bits))
}

// shortened is a name as it fits into wireText: one that is too long ends with a hash of the whole instead, so that it stays another
// than all others.
func shortened(name string) string {
	longest := len(bpf.DatapathServiceName{}.Text) - 1
	if len(name) <= longest {
		return name
	}
	hash := fmt.Sprintf("~%016x", xxhash.Sum64String(name))
	return name[:longest-len(hash)] + hash
}

// wireText is text as a C string, cut off where the array ends.
func wireText(text string) bpf.DatapathServiceName {
	var name bpf.DatapathServiceName
	for i := 0; i < len(text) && i < len(name.Text)-1; i++ {
		name.Text[i] = int8(text[i])
	}
	return name
}
