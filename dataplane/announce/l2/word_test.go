package l2

import (
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	four   = netip.MustParseAddr("192.0.2.1")
	six    = netip.MustParseAddr("2001:db8::1:2345")
	own    = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	client = net.HardwareAddr{2, 0, 0, 0, 0, 9}
)

func unhex(text string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// TestFrames: every byte of what is sent, and that it is read as it was meant.
func TestFrames(t *testing.T) {
	caller4, caller6 := netip.MustParseAddr("198.51.100.9"), netip.MustParseAddr("fe80::9")
	for _, test := range []struct {
		name    string
		frame   frame
		to      string
		bytes   string
		meaning meaning
	}{
		{"ARP answer", answer(word{asks, four, client, caller4}, own), "02:00:00:00:00:09",
			"0001 0800 06 04 0002 020000000001 c0000201 020000000009 c6336409", claims},
		{"ARP announcement", tell(four, own), "ff:ff:ff:ff:ff:ff",
			"0001 0800 06 04 0001 020000000001 c0000201 000000000000 c0000201", claims},
		{"ARP probe", probe(four, own), "ff:ff:ff:ff:ff:ff",
			"0001 0800 06 04 0001 020000000001 00000000 000000000000 c0000201", probes},
		{"NDP answer", answer(word{asks, six, client, caller6}, own), "02:00:00:00:00:09",
			"60000000 0020 3a ff 20010db8000000000000000000012345 fe800000000000000000000000000009" +
				"88 00 731a 60000000 20010db8000000000000000000012345 0201 020000000001", claims},
		{"NDP answer to a probe", answer(word{probes, six, client, netip.IPv6Unspecified()}, own), "33:33:00:00:00:01",
			"60000000 0020 3a ff 20010db8000000000000000000012345 ff020000000000000000000000000001" +
				"88 00 b2a0 20000000 20010db8000000000000000000012345 0201 020000000001", claims},
		{"NDP advertisement", tell(six, own), "33:33:00:00:00:01",
			"60000000 0020 3a ff 20010db8000000000000000000012345 ff020000000000000000000000000001" +
				"88 00 b2a0 20000000 20010db8000000000000000000012345 0201 020000000001", claims},
		{"NDP probe", probe(six, own), "33:33:ff:01:23:45",
			"60000000 0018 3a ff 00000000000000000000000000000000 ff0200000000000000000001ff012345" +
				"87 00 0663 00000000 20010db8000000000000000000012345", probes},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.to, test.frame.to.String())
			assert.Equal(t, hex.EncodeToString(unhex(test.bytes)), hex.EncodeToString(test.frame.payload))
			read := func() (word, bool) { return readARP(test.frame.payload) }
			vip := four
			if test.frame.ipv6 {
				read, vip = func() (word, bool) { return readNDP(test.frame.payload, own) }, six
			}
			w, ok := read()
			require.True(t, ok)
			assert.Equal(t, test.meaning, w.meaning)
			assert.Equal(t, vip, w.address)
			assert.Equal(t, own, w.mac)
			if test.frame.ipv6 {
				assert.Zero(t, checksum(test.frame.payload))
			}
		})
	}
}

// checksum is 0 for a correct one (RFC 4443, section 2.3).
func checksum(packet []byte) uint16 {
	sum := uint32(len(packet)-ipv6Header) + icmpv6
	for i := 8; i+1 < len(packet); i += 2 {
		sum += uint32(packet[i])<<8 | uint32(packet[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// TestRead: who asks, by which of its addresses, and what is not heeded.
func TestRead(t *testing.T) {
	const asking = "0001 0800 06 04 0001 020000000009 c6336409 000000000000 c0000201"
	w, ok := readARP(unhex(asking + "00000000000000000000")) // with Ethernet's padding
	require.True(t, ok)
	assert.Equal(t, word{asks, four, client, netip.MustParseAddr("198.51.100.9")}, w)
	for _, not := range []string{
		"", "0001 0800 06 04", "0006 0800 06 04 0001 020000000009 c6336409 000000000000 c0000201",
		"0001 0800 06 04 0003 020000000009 c6336409 000000000000 c0000201", "0001 86dd 06 10 0001" + strings.Repeat("00", 44),
	} {
		_, ok := readARP(unhex(not))
		assert.False(t, ok, not)
	}

	const header = "60000000 0020 3a ff fe800000000000000000000000000009 ff0200000000000000000001ff012345"
	const body = "87 00 0000 00000000 20010db8000000000000000000012345"
	w, ok = readNDP(unhex(header+body+"0101 0200000000aa"), client)
	require.True(t, ok)
	assert.Equal(t, word{asks, six, net.HardwareAddr{2, 0, 0, 0, 0, 0xaa}, netip.MustParseAddr("fe80::9")}, w, "the option says where to answer to")
	w, ok = readNDP(unhex(strings.Replace(header, "0020", "0018", 1)+body), client)
	require.True(t, ok)
	assert.Equal(t, client, w.mac, "else the frame does")
	for name, not := range map[string]string{
		"hop limit": strings.Replace(header, "3a ff", "3a fe", 1) + body + "0101 0200000000aa",
		"code":      header + strings.Replace(body, "87 00", "87 01", 1) + "0101 0200000000aa",
		"UDP":       strings.Replace(header, "3a ff", "11 ff", 1) + body + "0101 0200000000aa",
		"echo":      header + strings.Replace(body, "87 00", "80 00", 1) + "0101 0200000000aa",
		"cut":       header + body[:20],
		"header":    header,
	} {
		_, ok := readNDP(unhex(not), client)
		assert.False(t, ok, name)
	}
}

// FuzzRead: hostile packets are read or not, and what is answered is well formed.
func FuzzRead(f *testing.F) {
	for _, seed := range []frame{tell(four, own), probe(four, own), tell(six, own), probe(six, own)} {
		f.Add(seed.payload)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if w, ok := readARP(data); ok && w.meaning != claims {
			_, ok := readARP(answer(w, own).payload)
			require.True(t, ok)
		}
		if w, ok := readNDP(data, client); ok && w.meaning != claims {
			require.Len(t, w.mac, ethernetLength)
			back, ok := readNDP(answer(w, own).payload, own)
			require.True(t, ok)
			require.Equal(t, w.address, back.address)
		}
	})
}
