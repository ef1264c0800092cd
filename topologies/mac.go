package topologies

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/netip"
)

// HardwareAddr is a MAC address that prints as one in JSON.
type HardwareAddr net.HardwareAddr

// String is as in 02:00:c0:a8:01:0b.
func (a HardwareAddr) String() string { return net.HardwareAddr(a).String() }

// MarshalText writes the address as String does.
func (a HardwareAddr) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads an address of 6 bytes; empty text is none.
func (a *HardwareAddr) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = nil
		return nil
	}
	parsed, err := net.ParseMAC(string(text))
	if err != nil || len(parsed) != 6 {
		return fmt.Errorf("parse hardware address: %q is none, use one as in 02:00:c0:a8:01:0b", text)
	}
	*a = HardwareAddr(parsed)
	return nil
}

// First bytes of the MAC addresses here: unicast, locally administered (IEEE 802, clause 8.2).
const (
	macOwn  = 0x02 // of whoever has the IP address
	macHost = 0x06 // of the node's end of the wire to the pod that has the IP address
)

// macOf derives a MAC address from an IP address: its four bytes after a zero, or five bytes of its hash, of which the first
// is not zero. So it can be told from a capture whose it is.
func macOf(first byte, a netip.Addr) HardwareAddr {
	mac := HardwareAddr{first, 0, 0, 0, 0, 0}
	if a.Is4() {
		four := a.As4()
		copy(mac[2:], four[:])
		return mac
	}
	hash := sha256.Sum256(a.AsSlice())
	copy(mac[1:], hash[:5])
	mac[1] |= 0x80
	return mac
}
