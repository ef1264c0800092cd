package bpf

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// Maps hold addresses and ports as they stand in packets. In Go's memory such a word is a number of this machine's byte
// order, so it is read and written through the bytes.

// WireAddress is an address as maps hold it: an IPv4 one mapped into IPv6. The zero Addr gives zeroes.
func WireAddress(a netip.Addr) DatapathAddress {
	var w DatapathAddress
	b := a.As16()
	for i := range w.Word {
		w.Word[i] = binary.NativeEndian.Uint32(b[4*i:])
	}
	return w
}

// AddrPort is address and port of a map; it is the zero value for an address of zeroes: not known.
func AddrPort(w DatapathAddress, port uint16) netip.AddrPort {
	if w == (DatapathAddress{}) {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(w.Addr(), Port16(port))
}

// Port16 is a port as a __be16, and its own inverse.
func Port16(p uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], p)
	return binary.NativeEndian.Uint16(b[:])
}

// WireMAC is an Ethernet address, zeroes where there is none.
func WireMAC(a net.HardwareAddr) [6]uint8 {
	var mac [6]uint8
	if len(a) == len(mac) {
		copy(mac[:], a)
	}
	return mac
}

// WirePrefix is a prefix as tries hold it: how many bits of the 128 count, and the address without the others.
func WirePrefix(p netip.Prefix) (uint32, DatapathAddress) {
	bits := uint32(p.Bits())
	if p.Addr().Is4() {
		bits += 96
	}
	return bits, WireAddress(p.Masked().Addr())
}

// Prefix is the inverse of WirePrefix.
func Prefix(bits uint32, w DatapathAddress) netip.Prefix {
	a := w.Addr()
	if !a.IsValid() {
		a = netip.IPv6Unspecified()
	}
	if a.Is4() && bits >= 96 {
		return netip.PrefixFrom(a, int(bits)-96)
	}
	return netip.PrefixFrom(netip.AddrFrom16(a.As16()), int(bits))
}

// WireText is text as a C string, cut off where the array ends.
func WireText(text string) DatapathServiceName {
	var name DatapathServiceName
	for i := 0; i < len(text) && i < len(name.Text)-1; i++ {
		name.Text[i] = int8(text[i])
	}
	return name
}
