package probe

import "golang.org/x/sys/unix"

// Fields of classic BPF programs: offsets in the IP headers, and protocols.
const (
	protocol4, nextHeader6 = 9, 6
	ports6                 = 40
	portMask               = 0xffff &^ (PortCount - 1)
	accept, refuse         = 0xffff, 0
)

func load(size uint16, mode uint16, at uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | size | mode, K: at}
}

func ifEqual(value uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: yes, Jf: no, K: value}
}

func and(mask uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: mask}
}

func give(size uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: size}
}

// portFilter accepts a packet if one of its ports, which are at an offset in mode, is a probe's.
func portFilter(mode uint16, at uint32) []unix.SockFilter {
	return []unix.SockFilter{
		load(unix.BPF_H, mode, at), and(portMask), ifEqual(FirstPort, 3, 0),
		load(unix.BPF_H, mode, at+2), and(portMask), ifEqual(FirstPort, 0, 1),
		give(accept), give(refuse),
	}
}

// transportFilter is for packets that begin with a UDP or TCP header.
func transportFilter() []unix.SockFilter { return portFilter(unix.BPF_ABS, 0) }

// packetFilter is for packets that begin with an IP header: it accepts UDP and TCP of the probes' ports, and all ICMP.
func packetFilter() []unix.SockFilter {
	four := []unix.SockFilter{
		load(unix.BPF_B, unix.BPF_ABS, protocol4),
		ifEqual(unix.IPPROTO_ICMP, 9, 0), ifEqual(unix.IPPROTO_TCP, 1, 0), ifEqual(unix.IPPROTO_UDP, 0, 8),
		{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: 0}, // X is the header's length
	}
	four = append(four, portFilter(unix.BPF_IND, 0)...)
	six := []unix.SockFilter{
		load(unix.BPF_B, unix.BPF_ABS, nextHeader6),
		ifEqual(unix.IPPROTO_ICMPV6, 8, 0), ifEqual(unix.IPPROTO_TCP, 1, 0), ifEqual(unix.IPPROTO_UDP, 0, 7),
	}
	six = append(six, portFilter(unix.BPF_ABS, ports6)...)
	start := []unix.SockFilter{
		load(unix.BPF_B, unix.BPF_ABS, 0), and(0xf0),
		ifEqual(0x40, 2, 0), ifEqual(0x60, uint8(1+len(four)), 0), give(refuse),
	}
	return append(append(start, four...), six...)
}
