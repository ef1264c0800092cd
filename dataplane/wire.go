package dataplane

import (
	"encoding/binary"
	"net/netip"
)

// Maps hold addresses and ports as they stand in packets. In Go's memory such a word is a number of this machine's byte
// order, so it is read and written through the bytes.

// addr4 is an IPv4 address as a __be32.
func addr4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.NativeEndian.Uint32(b[:])
}

// fromAddr4 is the inverse of addr4.
func fromAddr4(v uint32) netip.Addr {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], v)
	return netip.AddrFrom4(b)
}

// port16 is a port as a __be16, and its own inverse.
func port16(p uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], p)
	return binary.NativeEndian.Uint16(b[:])
}
