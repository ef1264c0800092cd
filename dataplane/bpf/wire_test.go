package bpf

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

// bytesOf is a value as it stands in memory, which is how maps and packets have it.
func bytesOf[T any](v T) []byte {
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v))...)
}

func TestWire(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	assert.Equal(t, []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1}, bytesOf(WireAddress(v4)))
	assert.Equal(t, v6.AsSlice(), bytesOf(WireAddress(v6)))
	assert.Equal(t, DatapathAddress{}, WireAddress(netip.Addr{}))
	for _, a := range []netip.Addr{v4, v6, {}} {
		assert.Equal(t, a, WireAddress(a).Addr())
	}
	assert.Equal(t, []byte{0x1f, 0x90}, bytesOf(Port16(8080)))
	assert.EqualValues(t, 8080, Port16(Port16(8080)))
	assert.Equal(t, netip.AddrPort{}, AddrPort(DatapathAddress{}, Port16(80)))
	assert.Equal(t, netip.AddrPortFrom(v4, 80), AddrPort(WireAddress(v4), Port16(80)))
	assert.Equal(t, [6]uint8{1, 2, 3, 4, 5, 6}, WireMAC(net.HardwareAddr{1, 2, 3, 4, 5, 6}))
	assert.Equal(t, [6]uint8{}, WireMAC(net.HardwareAddr{1, 2}))
	assert.Equal(t, "a/b:c/TCP", WireText("a/b:c/TCP").String())
	assert.Len(t, WireText(string(make([]byte, 300))).Text, 208)
	assert.EqualValues(t, 4711, binary.NativeEndian.Uint32(bytesOf(uint32(4711))))
}

func TestWirePrefix(t *testing.T) {
	for _, test := range []struct {
		prefix string
		bits   uint32
		back   string
	}{
		{"192.0.2.77/24", 120, "192.0.2.0/24"},
		{"0.0.0.0/0", 96, "0.0.0.0/0"},
		{"2001:db8::1/32", 32, "2001:db8::/32"},
		{"::/0", 0, "::/0"},
		{"2001:db8::1/128", 128, "2001:db8::1/128"},
	} {
		bits, address := WirePrefix(netip.MustParsePrefix(test.prefix))
		assert.Equal(t, test.bits, bits, test.prefix)
		assert.Equal(t, test.back, Prefix(bits, address).String())
	}
}
