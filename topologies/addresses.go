package topologies

import (
	"encoding/binary"
	"net/netip"
)

// addAddr is the address n after a; it is not valid where the addresses end.
func addAddr(a netip.Addr, n uint64) netip.Addr {
	if n == 0 {
		return a
	}
	if a.Is4() {
		four := a.As4()
		sum := uint64(binary.BigEndian.Uint32(four[:])) + n
		if n > 1<<32 || sum >= 1<<32 {
			return netip.Addr{}
		}
		binary.BigEndian.PutUint32(four[:], uint32(sum))
		return netip.AddrFrom4(four)
	}
	if !a.IsValid() {
		return a
	}
	sixteen := a.As16()
	high, low := binary.BigEndian.Uint64(sixteen[:8]), binary.BigEndian.Uint64(sixteen[8:])
	sum := low + n
	if sum < low {
		if high++; high == 0 {
			return netip.Addr{}
		}
	}
	binary.BigEndian.PutUint64(sixteen[:8], high)
	binary.BigEndian.PutUint64(sixteen[8:], sum)
	return netip.AddrFrom16(sixteen)
}

// addPrefix is the prefix n blocks of its own size after p; it is not valid where the addresses end.
func addPrefix(p netip.Prefix, n uint64) netip.Prefix {
	host := p.Addr().BitLen() - p.Bits()
	if !p.IsValid() || n == 0 {
		return p
	}
	if p.Addr().Is4() {
		if host >= 32 || n > 1<<32>>host {
			return netip.Prefix{}
		}
		return prefixAt(addAddr(p.Addr(), n<<host), p.Bits())
	}
	if host < 64 {
		if n > ^uint64(0)>>host {
			return netip.Prefix{}
		}
		return prefixAt(addAddr(p.Addr(), n<<host), p.Bits())
	}
	sixteen := p.Addr().As16()
	high := binary.BigEndian.Uint64(sixteen[:8])
	if host >= 128 || n > ^uint64(0)>>(host-64) || high+n<<(host-64) < high {
		return netip.Prefix{}
	}
	binary.BigEndian.PutUint64(sixteen[:8], high+n<<(host-64))
	return netip.PrefixFrom(netip.AddrFrom16(sixteen), p.Bits())
}

func prefixAt(a netip.Addr, bits int) netip.Prefix {
	if !a.IsValid() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, bits)
}

// lastAddr is the last address of a prefix: the broadcast address if it is of IPv4.
func lastAddr(p netip.Prefix) netip.Addr {
	bytes := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(bytes)*8; bit++ {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ := netip.AddrFromSlice(bytes)
	return last
}

// defaultGateway is the fabric's address in a subnet that names none: the last before broadcast, of IPv6 the first after
// the subnet's own.
func defaultGateway(subnet netip.Prefix) netip.Addr {
	if subnet.Addr().Is4() {
		return lastAddr(subnet).Prev()
	}
	return subnet.Masked().Addr().Next()
}

// firstHost is the gateway of a pod CIDR: the node's own address towards its pods.
func firstHost(p netip.Prefix) netip.Addr { return p.Masked().Addr().Next() }

// isHost reports whether an address in a prefix can be a host's: not the prefix's own, and of IPv4 not the broadcast address.
func isHost(p netip.Prefix, a netip.Addr) bool {
	return p.Contains(a) && a != p.Masked().Addr() && (a.Is6() || a != lastAddr(p))
}

// hostPrefix is the prefix of a single address.
func hostPrefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// isUnicast reports whether a can be the address of something on the fabric.
func isUnicast(a netip.Addr) bool {
	return a.IsValid() && a.Zone() == "" && !a.Is4In6() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() &&
		!a.IsLinkLocalUnicast() && !netip.MustParsePrefix("0.0.0.0/8").Contains(a) && !netip.MustParsePrefix("240.0.0.0/4").Contains(a)
}
