package capture

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tshark reads frames with the dissector and returns the fields of each, and what it printed of errors.
func tshark(t *testing.T, frames [][]byte, fields ...string) (rows [][]string, errs string) {
	t.Helper()
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Skip("needs tshark, of Debian's package tshark: reads captures with the dissector")
	}
	dir := t.TempDir()
	script, file := filepath.Join(dir, "dsr.lua"), filepath.Join(dir, "frames.pcapng")
	require.NoError(t, os.WriteFile(script, []byte(Dissector), 0o600))
	var data bytes.Buffer
	w, err := pcapgo.NewNgWriter(&data, layers.LinkTypeEthernet)
	require.NoError(t, err)
	for _, f := range frames {
		require.NoError(t, w.WritePacket(gopacket.CaptureInfo{CaptureLength: len(f), Length: len(f)}, f))
	}
	require.NoError(t, w.Flush())
	require.NoError(t, os.WriteFile(file, data.Bytes(), 0o600))
	args := []string{"-X", "lua_script:" + script, "-r", file, "-T", "fields", "-E", "separator=|"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	cmd := exec.Command("tshark", args...)
	cmd.Env = append(os.Environ(), "HOME="+dir) // no configuration of the user's
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	for line := range strings.Lines(string(out)) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "|"))
	}
	require.Len(t, rows, len(frames))
	return rows, stderr.String()
}

// geneveFrame is a SYN in Geneve with the given options, whose outer addresses are of either family.
func geneveFrame(t *testing.T, from, to netip.Addr, flags byte, options []byte) []byte {
	t.Helper()
	eth := func(kind layers.EthernetType) *layers.Ethernet {
		return &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: kind}
	}
	serialize := func(parts ...gopacket.SerializableLayer) []byte {
		buffer := gopacket.NewSerializeBuffer()
		require.NoError(t, gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true}, parts...))
		return buffer.Bytes()
	}
	inner := serialize(eth(layers.EthernetTypeIPv4),
		&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: theClient.Addr().AsSlice(), DstIP: thePod.Addr().AsSlice()},
		&layers.TCP{SrcPort: layers.TCPPort(theClient.Port()), DstPort: layers.TCPPort(thePod.Port()), SYN: true})
	geneve := slices.Concat([]byte{byte(len(options) / 4), flags, 0x65, 0x58, 0, 0, 2, 0}, options, inner)
	udp := &layers.UDP{SrcPort: 50000, DstPort: 6081}
	if from.Is4() {
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
		return serialize(eth(layers.EthernetTypeIPv4), ip, udp, gopacket.Payload(geneve))
	}
	ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
	require.NoError(t, udp.SetNetworkLayerForChecksum(ip))
	return serialize(eth(layers.EthernetTypeIPv6), ip, udp, gopacket.Payload(geneve))
}

// dsrOption is the option for a frontend, as bpf/geneve.h has it.
func dsrOption(frontend netip.AddrPort) []byte {
	address := frontend.Addr().AsSlice()
	option := append([]byte{0x01, 0x4b, 0x81, byte(len(address)/4 + 1)}, address...)
	return append(binary.BigEndian.AppendUint16(option, frontend.Port()), 0, 0)
}

func TestDissectorFields(t *testing.T) {
	six := netip.MustParseAddrPort("[2001:db8::80]:443")
	other := []byte{0x01, 0x03, 0x08, 1, 1, 2, 3, 4} // of another class, and not critical
	frames := [][]byte{
		geneveFrame(t, nodeA, nodeB, 0x40, dsrOption(theVIP)),
		geneveFrame(t, nodeA, nodeB, 0x40, dsrOption(six)),
		geneveFrame(t, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"), 0x40, slices.Concat(other, dsrOption(six), other)),
		geneveFrame(t, nodeA, nodeB, 0, other),
		geneveFrame(t, nodeA, nodeB, 0, nil),
	}
	rows, errs := tshark(t, frames, "geneve.dsr.frontend", "geneve.dsr.class", "geneve.dsr.type", "geneve.dsr.critical", "geneve.dsr.reserved",
		"geneve.dsr.length", "geneve.dsr.ipv4", "geneve.dsr.ipv6", "geneve.dsr.port", "geneve.dsr.padding", "_ws.malformed")
	four := []string{"185.150.8.128:8080", "0x014b", "0x81", "1", "0x00", "2", "185.150.8.128", "", "8080", "0x0000", ""}
	sixth := []string{"[2001:db8::80]:443", "0x014b", "0x81", "1", "0x00", "5", "", "2001:db8::80", "443", "0x0000", ""}
	assert.Equal(t, [][]string{four, sixth, sixth, make([]string, 11), make([]string, 11)}, boolsAsDigits(rows, 3))
	assert.NotContains(t, errs, "Lua")
	columns, _ := tshark(t, frames[:2], "_ws.col.Info")
	assert.Contains(t, columns[0][0], "[DSR 185.150.8.128:8080]")
	assert.Contains(t, columns[1][0], "[DSR [2001:db8::80]:443]")
}

// boolsAsDigits has a column's booleans as Wireshark 4.0 prints them; later it prints True and False.
func boolsAsDigits(rows [][]string, column int) [][]string {
	for _, row := range rows {
		row[column] = strings.NewReplacer("True", "1", "False", "0").Replace(row[column])
	}
	return rows
}

// faultsOf are the names of the expert items that options must give, as a set. It reads them as the dissector's contract says, by other
// means.
func faultsOf(options []byte, critical bool) map[string]bool {
	faults := make(map[string]bool)
	note := func(fault string, is bool) {
		if is {
			faults[fault] = true
		}
	}
	for seen := false; len(options) > 0; {
		size := 4 + 4*int(options[3]&0x1f) // options are whole words
		if size > len(options) {
			note("overrun", true)
			break
		}
		o := options[:size]
		options = options[size:]
		if !bytes.Equal(o[:3], []byte{0x01, 0x4b, 0x81}) {
			continue
		}
		note("twice", seen)
		seen = true
		note("flag", !critical)
		note("reserved", o[3]&0xe0 != 0)
		if size != 12 && size != 24 {
			note("length", true)
			continue
		}
		note("address", bytes.Count(o[4:size-4], []byte{0}) == size-8)
		note("port", bytes.Equal(o[size-4:size-2], []byte{0, 0}))
		note("padding", !bytes.Equal(o[size-2:], []byte{0, 0}))
	}
	return faults
}

// randomOptions are mostly DSR options with a fault or two.
func randomOptions(r *rand.Rand) []byte {
	var options []byte
	for range r.IntN(4) {
		words := []int{2, 2, 5, 5, r.IntN(32)}[r.IntN(5)]
		o := make([]byte, 4+4*words)
		copy(o, []byte{0x01, 0x4b, 0x81, byte(words)})
		if r.IntN(4) > 0 {
			for i := 4; i < len(o)-2; i++ {
				o[i] = byte(r.UintN(256))
			}
		}
		for range r.IntN(3) {
			o[r.IntN(len(o))] = byte(r.UintN(256))
		}
		options = append(options, o...)
	}
	if len(options) == 0 {
		return nil
	}
	options = options[:4*(1+r.IntN(len(options)/4))] // may cut one
	return options[:min(len(options), 4*63)]
}

// TestDissectorMalformed: each fault of an option is an expert item, nothing else is one, and no bytes make the script fail.
func TestDissectorMalformed(t *testing.T) {
	const count = 3000
	r := rand.New(rand.NewPCG(1, 2))
	names := []string{"length", "reserved", "address", "port", "padding", "twice", "overrun", "flag"}
	var frames [][]byte
	var want []map[string]bool
	hit := make(map[string]int)
	for range count {
		options, flags := randomOptions(r), byte(0x40)
		if r.IntN(8) == 0 {
			flags = 0
		}
		frames = append(frames, geneveFrame(t, nodeA, nodeB, flags, options))
		faults := faultsOf(options, flags != 0)
		for name := range faults {
			hit[name]++
		}
		want = append(want, faults)
	}
	for _, name := range names {
		assert.Greater(t, hit[name], 20, name)
	}
	for range count { // and what the capture or the network has cut
		f := frames[r.IntN(count)]
		frames = append(frames, f[:r.IntN(len(f))])
	}
	fields := []string{"_ws.lua.error", "geneve.dsr.malformed"}
	for _, name := range names {
		fields = append(fields, "geneve.dsr.malformed."+name)
	}
	rows, errs := tshark(t, frames, fields...)
	assert.NotContains(t, errs, "Lua")
	for i, row := range rows {
		require.Empty(t, row[0], "Lua error for %x", frames[i])
		if i >= count {
			continue
		}
		got := make(map[string]bool)
		for j, name := range names {
			if row[2+j] != "" {
				got[name] = true
			}
		}
		require.Equal(t, want[i], got, "%x", frames[i])
		require.Equal(t, len(got) > 0, row[1] != "", "%x", frames[i])
	}
}
