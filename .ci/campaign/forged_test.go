package main

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestGeneve(t *testing.T) {
	assert.Equal(t, []byte{
		3, 0x40, 0x65, 0x58, 0, 0, 2, 0, // Geneve: three words of options, critical, Ethernet, VNI 2
		0x01, 0x4b, 0x81, 2, 185, 150, 8, 128, 0x1f, 0x90, 0, 0, // DSR option
		2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0,
		0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0xac, 0x5c, 192, 168, 1, 202, 10, 0, 2, 2,
		0x4e, 0x20, 0x1f, 0x90, 0, 9, 0, 0, 'x',
	}, geneve(netip.MustParseAddrPort("185.150.8.128:8080"), netip.MustParseAddrPort("192.168.1.202:20000"), netip.MustParseAddrPort("10.0.2.2:8080"), []byte("x")))
}

// TestSum: the header of RFC 1071's usual example, with its checksum.
func TestSum(t *testing.T) {
	header := []byte{0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7}
	assert.Equal(t, uint16(0xffff), sum(header))
}

func TestStrangers(t *testing.T) {
	all := strangers(250)
	assert.Len(t, all, 250)
	for _, a := range all {
		assert.True(t, netip.MustParsePrefix("192.168.1.0/24").Contains(a))
		assert.NotEqual(t, netip.MustParseAddr("192.168.1.202"), a, "the client's")
		assert.NotEqual(t, byte(0), a.As4()[3])
	}
}
