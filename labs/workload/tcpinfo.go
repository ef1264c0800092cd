package workload

import (
	"fmt"
	"math"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// TCPInfo is the kernel's state of one end of a TCP connection (struct tcp_info of include/uapi/linux/tcp.h).
// Segments are packets of at most the MSS, however large the buffers between stack and device are. Fields that an older kernel
// does not report are 0.
type TCPInfo struct {
	// RTT is the smoothed round-trip time, RTTVar its mean deviation (RFC 6298 section 2), both taken from
	// acknowledgements of data that this end sent; MinRTT is the recent minimum. In nanoseconds, from the
	// kernel's microseconds.
	RTT    time.Duration `json:"rttNs"`
	RTTVar time.Duration `json:"rttVarNs"`
	MinRTT time.Duration `json:"minRTTNs"`
	// ReceiverRTT is this end's estimate while it receives, for sizing its buffer.
	ReceiverRTT time.Duration `json:"receiverRTTNs,omitzero"`
	// RTO is the current retransmission timeout (RFC 6298), including backoff.
	RTO time.Duration `json:"rtoNs"`
	// CongestionWindow and SlowStartThreshold are in segments (RFC 5681); a threshold of 0 has not been set yet.
	CongestionWindow   uint32 `json:"congestionWindow"`
	SlowStartThreshold uint32 `json:"slowStartThreshold,omitzero"`
	// MSS is the largest segment that this end sends, PMTU the path MTU that it knows, both in bytes.
	MSS  uint32 `json:"mss"`
	PMTU uint32 `json:"pmtu"`
	// Unacked, Sacked and Lost are the segments in flight as the sender sees them now.
	Unacked uint32 `json:"unacked,omitzero"`
	Sacked  uint32 `json:"sacked,omitzero"`
	Lost    uint32 `json:"lost,omitzero"`
	// Retransmits counts segments sent again since the start, for any reason; BytesRetransmitted their bytes; Timeouts
	// the expiries of the RTO (Linux 6.7 and later); DSACKDups retransmits that the receiver had already
	// (RFC 2883).
	Retransmits        uint32 `json:"retransmits"`
	BytesRetransmitted uint64 `json:"bytesRetransmitted"`
	Timeouts           uint16 `json:"timeouts,omitzero"`
	DSACKDups          uint32 `json:"dsackDups,omitzero"`
	// Reordered counts reordering events that the sender saw; OutOfOrder segments that the receiver got out of order.
	Reordered  uint32 `json:"reordered,omitzero"`
	OutOfOrder uint32 `json:"outOfOrder,omitzero"`
	// BytesSent counts retransmits too; BytesAcked and BytesReceived count each byte once. SegmentsOut and SegmentsIn
	// are all segments, pure acknowledgements too.
	BytesSent     uint64 `json:"bytesSent,omitzero"`
	BytesAcked    uint64 `json:"bytesAcked,omitzero"`
	BytesReceived uint64 `json:"bytesReceived,omitzero"`
	SegmentsOut   uint32 `json:"segmentsOut"`
	SegmentsIn    uint32 `json:"segmentsIn"`
	// NotSent counts bytes that wait in the socket to be sent.
	NotSent uint32 `json:"notSent,omitzero"`
	// DeliveryRate is the latest delivery rate and PacingRate the rate of sending, in bit/s (the kernel's
	// bytes/s, times 8); 0 is unknown and unlimited, respectively.
	DeliveryRate uint64 `json:"deliveryRate,omitzero"`
	PacingRate   uint64 `json:"pacingRate,omitzero"`
	// Busy is how long the sender had data outstanding; ReceiverLimited and BufferLimited are the parts of it in which
	// the receiver's window or this end's send buffer was the limit. In nanoseconds.
	Busy            time.Duration `json:"busyNs,omitzero"`
	ReceiverLimited time.Duration `json:"receiverLimitedNs,omitzero"`
	BufferLimited   time.Duration `json:"bufferLimitedNs,omitzero"`
	// SendWindow is the peer's receive window, in bytes.
	SendWindow uint32 `json:"sendWindow,omitzero"`
}

// infiniteSlowStart is the kernel's TCP_INFINITE_SSTHRESH (include/net/tcp.h).
const infiniteSlowStart = 0x7fffffff

func readTCPInfo(raw syscall.RawConn) (TCPInfo, error) {
	var info *unix.TCPInfo
	var optErr error
	err := raw.Control(func(fd uintptr) {
		info, optErr = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	if err == nil {
		err = optErr
	}
	if err != nil {
		return TCPInfo{}, fmt.Errorf("read TCP_INFO: %w", err)
	}
	return fromKernel(info), nil
}

func fromKernel(k *unix.TCPInfo) TCPInfo {
	t := TCPInfo{
		RTT: micros(uint64(k.Rtt)), RTTVar: micros(uint64(k.Rttvar)), MinRTT: micros(uint64(k.Min_rtt)),
		ReceiverRTT: micros(uint64(k.Rcv_rtt)), RTO: micros(uint64(k.Rto)),
		CongestionWindow: k.Snd_cwnd, SlowStartThreshold: k.Snd_ssthresh,
		MSS: k.Snd_mss, PMTU: k.Pmtu,
		Unacked: k.Unacked, Sacked: k.Sacked, Lost: k.Lost,
		Retransmits: k.Total_retrans, BytesRetransmitted: k.Bytes_retrans,
		Timeouts: k.Total_rto, DSACKDups: k.Dsack_dups, Reordered: k.Reord_seen, OutOfOrder: k.Rcv_ooopack,
		BytesSent: k.Bytes_sent, BytesAcked: k.Bytes_acked, BytesReceived: k.Bytes_received,
		SegmentsOut: k.Segs_out, SegmentsIn: k.Segs_in, NotSent: k.Notsent_bytes,
		DeliveryRate: 8 * k.Delivery_rate,
		Busy:         micros(k.Busy_time), ReceiverLimited: micros(k.Rwnd_limited), BufferLimited: micros(k.Sndbuf_limited),
		SendWindow: k.Snd_wnd,
	}
	if t.SlowStartThreshold == infiniteSlowStart {
		t.SlowStartThreshold = 0
	}
	if k.Min_rtt == math.MaxUint32 { // no sample yet
		t.MinRTT = 0
	}
	// The kernel's "no limit" is ~0.
	if k.Pacing_rate <= math.MaxUint64/8 {
		t.PacingRate = 8 * k.Pacing_rate
	}
	return t
}

func micros(n uint64) time.Duration { return time.Duration(n) * time.Microsecond }

// congestionControl returns the name of the socket's congestion control.
func congestionControl(raw syscall.RawConn) (string, error) {
	var name string
	var optErr error
	err := raw.Control(func(fd uintptr) {
		name, optErr = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	})
	if err == nil {
		err = optErr
	}
	if err != nil {
		return "", fmt.Errorf("read congestion control: %w", err)
	}
	return strings.TrimRight(name, "\x00"), nil
}

// setCongestionControl sets the socket's congestion control, which overrides that of the route and the host.
func setCongestionControl(fd int, name string) error {
	err := unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("set congestion control %q: %w", name, err)
	if available, readErr := os.ReadFile("/proc/sys/net/ipv4/tcp_available_congestion_control"); readErr == nil {
		err = fmt.Errorf("%w (the kernel has: %s)", err, strings.TrimSpace(string(available)))
	}
	return err
}

func setOption(conn *net.TCPConn, option, value int) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var optErr error
	err = raw.Control(func(fd uintptr) { optErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, option, value) })
	if err == nil {
		err = optErr
	}
	return err
}
