package probe

import (
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	from4, to4 = netip.MustParseAddrPort("185.150.8.128:29696"), netip.MustParseAddrPort("192.0.2.10:29700")
	from6, to6 = netip.MustParseAddrPort("[2001:db8:8::128]:29696"), netip.MustParseAddrPort("[2001:db8:1::10]:29700")
)

// Whatever is built is read again as what it was, with every size from the smallest on.
func TestBuildAndRead(t *testing.T) {
	for _, test := range []struct {
		name     string
		probe    Probe
		smallest int // in bytes
	}{
		{"UDP", Probe{Kind: KindUDP, Source: from4, Destination: to4}, 20 + 8 + 20},
		{"UDP over IPv6", Probe{Kind: KindUDP, Source: from6, Destination: to6}, 40 + 8 + 20},
		{"SYN-ACK", Probe{Kind: KindTCP, Source: from4, Destination: to4, Flags: SYN | ACK, Acknowledge: 7}, 20 + 20},
		{"SYN-ACK over IPv6", Probe{Kind: KindTCP, Source: from6, Destination: to6, Flags: SYN | ACK}, 40 + 20},
		{"data", Probe{Kind: KindTCP, Source: from4, Destination: to4, Flags: ACK, Sequence: 99, Data: true}, 20 + 20 + 20},
		{"Geneve", Probe{Kind: KindGeneve, Source: from4, Destination: netip.AddrPortFrom(to4.Addr(), GenevePort)}, 20 + 8 + 8 + 14 + 20 + 8 + 20},
		{"Geneve with an option", Probe{Kind: KindGeneve, Source: from4, Destination: netip.AddrPortFrom(to4.Addr(), GenevePort), Frontend: to4}, 20 + 8 + 8 + 12 + 14 + 20 + 8 + 20},
		{"Geneve with an option over IPv6", Probe{Kind: KindGeneve, Source: from6, Destination: netip.AddrPortFrom(to6.Addr(), GenevePort), Frontend: to6}, 40 + 8 + 8 + 24 + 14 + 40 + 8 + 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, size := range []int{0, test.smallest + 1, 1450, 1500, 9000} {
				p := test.probe
				p.ID, p.Size, p.TTL = 0xfeedbeef, size, 3
				packet, err := Build(p)
				require.NoError(t, err)
				want := max(size, test.smallest)
				if p.Kind == KindTCP && !p.Data {
					want = test.smallest // it has no payload to grow
				}
				assert.Len(t, packet, want)
				s, ok := Read(packet)
				require.True(t, ok)
				wantFlags := p.Flags
				if p.Data {
					wantFlags |= 0x08 // PSH
				}
				assert.Equal(t, Sighting{ID: p.ID, Level: LevelDevice, Kind: p.Kind, Source: p.Source, Destination: p.Destination, TTL: 3,
					Size: want, Flags: wantFlags}, s)
			}
		})
	}
}

// The option of a tunnel is the data path's: see dataplane/bpf/geneve.h.
func TestOption(t *testing.T) {
	p := Probe{Kind: KindGeneve, Source: from4, Destination: netip.AddrPortFrom(to4.Addr(), GenevePort), Frontend: netip.MustParseAddrPort("185.150.8.128:8080")}
	packet, err := Build(p)
	require.NoError(t, err)
	const ipAndUDP = 28
	assert.Equal(t, "0340655800000200"+"014b8102b99608801f900000", hex.EncodeToString(packet[ipAndUDP:ipAndUDP+20]))
	assert.EqualValues(t, 0x40, packet[6], "DF")
}

// A byte that has changed on the way is noticed, wherever it is.
func TestCorrupt(t *testing.T) {
	packet, err := Build(Probe{Kind: KindGeneve, Source: from4, Destination: netip.AddrPortFrom(to4.Addr(), GenevePort), Frontend: to4, Size: 300})
	require.NoError(t, err)
	told := 0
	for at := range packet {
		changed := append([]byte{}, packet...)
		changed[at] ^= 0x10
		if s, ok := Read(changed); ok { // else it is no probe any more
			told++
			assert.True(t, s.Corrupt, "byte %d", at)
		}
	}
	assert.Greater(t, told, 200)
}

// What a router returns is told from what arrives, also where it quotes no more than eight bytes of TCP.
func TestReturned(t *testing.T) {
	for _, test := range []struct {
		name    string
		message func(quoted []byte) []gopacket.SerializableLayer
		probe   Probe
		quoted  int // bytes; 0 is all
		want    Sighting
	}{
		{
			"TTL expired", func(q []byte) []gopacket.SerializableLayer {
				return icmp4(layers.ICMPv4TypeTimeExceeded, 0, 0, q)
			}, Probe{Kind: KindUDP, Source: from4, Destination: to4}, 0, Sighting{Reason: ReasonExpired},
		},
		{
			"fragmentation needed", func(q []byte) []gopacket.SerializableLayer {
				return icmp4(layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4CodeFragmentationNeeded, 1400, q)
			}, Probe{Kind: KindUDP, Source: from4, Destination: to4}, 0, Sighting{Reason: ReasonTooBig, MTU: 1400},
		},
		{
			"prohibited", func(q []byte) []gopacket.SerializableLayer {
				return icmp4(layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4CodeCommAdminProhibited, 0, q)
			}, Probe{Kind: KindTCP, Source: from4, Destination: to4, Flags: SYN | ACK}, 28, Sighting{Reason: ReasonProhibited},
		},
		{
			"packet too big", func(q []byte) []gopacket.SerializableLayer {
				return icmp6(layers.ICMPv6TypePacketTooBig, 0, append([]byte{0, 0, 5, 0}, q...))
			}, Probe{Kind: KindUDP, Source: from6, Destination: to6}, 0, Sighting{Reason: ReasonTooBig, MTU: 1280},
		},
		{
			"hop limit expired", func(q []byte) []gopacket.SerializableLayer {
				return icmp6(layers.ICMPv6TypeTimeExceeded, 0, append([]byte{0, 0, 0, 0}, q...))
			}, Probe{Kind: KindTCP, Source: from6, Destination: to6, Flags: SYN | ACK}, 0, Sighting{Reason: ReasonExpired},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.probe.ID, test.probe.TTL = 77, 1
			packet, err := Build(test.probe)
			require.NoError(t, err)
			quoted := packet
			if test.quoted > 0 {
				quoted = packet[:test.quoted]
			}
			message, err := serialize(test.message(quoted)...)
			require.NoError(t, err)
			s, ok := Read(message)
			require.True(t, ok)
			want := test.want
			want.ID, want.Level, want.Kind, want.Source, want.Destination, want.TTL = 77, LevelDevice, test.probe.Kind, test.probe.Source, test.probe.Destination, 1
			want.Size, want.Router, want.Flags = len(packet), router(test.probe.Source.Addr().Is6()), test.probe.Flags
			if test.quoted > 0 {
				want.Flags = 0
			}
			assert.Equal(t, want, s)
		})
	}
}

func router(six bool) netip.Addr {
	if six {
		return netip.MustParseAddr("2001:db8::fe")
	}
	return netip.MustParseAddr("192.0.2.254")
}

func icmp4(kind, code uint8, mtu uint16, quoted []byte) []gopacket.SerializableLayer {
	ip := ipHeader(router(false), from4.Addr(), layers.IPProtocolICMPv4, 0).(*layers.IPv4)
	return []gopacket.SerializableLayer{ip, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(kind, code), Seq: mtu}, gopacket.Payload(quoted)}
}

func icmp6(kind, code uint8, payload []byte) []gopacket.SerializableLayer {
	ip := ipHeader(router(true), from6.Addr(), layers.IPProtocolICMPv6, 0)
	message := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, code)}
	_ = message.SetNetworkLayerForChecksum(ip)
	return []gopacket.SerializableLayer{ip.(gopacket.SerializableLayer), message, gopacket.Payload(payload)}
}

func TestReadOthers(t *testing.T) {
	other, err := serialize(ipHeader(from4.Addr(), to4.Addr(), layers.IPProtocolUDP, 0).(*layers.IPv4),
		udpHeader(29696, 53, ipHeader(from4.Addr(), to4.Addr(), layers.IPProtocolUDP, 0)), gopacket.Payload("a question"))
	require.NoError(t, err)
	for _, packet := range [][]byte{nil, {0x45}, {0x60, 0}, other, make([]byte, 60)} {
		_, ok := Read(packet)
		assert.False(t, ok, "%x", packet)
	}
}

func TestValidate(t *testing.T) {
	for _, test := range []struct {
		probe Probe
		want  string
	}{
		{Probe{Kind: "sctp", Source: from4, Destination: to4}, `kind: unknown kind "sctp" (want one of udp, tcp, geneve)`},
		{Probe{Kind: KindUDP, Source: from4, Destination: to6}, "source, destination: found 185.150.8.128:29696 and [2001:db8:1::10]:29700 (want two of one IP version)"},
		{Probe{Kind: KindUDP, Source: netip.MustParseAddrPort("192.0.2.1:80"), Destination: netip.MustParseAddrPort("192.0.2.2:443")},
			"source, destination: found ports 80 and 443 (want one of 29696 to 29951)"},
		{Probe{Kind: KindGeneve, Source: from4, Destination: to4, Frontend: to6}, "frontend: found [2001:db8:1::10]:29700 (want the IP version of 185.150.8.128:29696)"},
		{Probe{Kind: KindUDP, Source: from4, Destination: to4, Size: 70000}, "size: found 70000 (want at most 65535 bytes)"},
	} {
		_, err := Build(test.probe)
		assert.EqualError(t, err, "build probe: "+test.want)
	}
}

func FuzzRead(f *testing.F) {
	for _, p := range []Probe{
		{Kind: KindUDP, Source: from4, Destination: to4}, {Kind: KindTCP, Source: from6, Destination: to6, Flags: SYN},
		{Kind: KindGeneve, Source: from4, Destination: netip.AddrPortFrom(to4.Addr(), GenevePort), Frontend: to4},
	} {
		packet, err := Build(p)
		require.NoError(f, err)
		f.Add(packet)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		if s, ok := Read(packet); ok {
			assert.Contains(t, Kinds(), s.Kind)
		}
	})
}
