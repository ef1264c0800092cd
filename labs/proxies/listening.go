package proxies

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// stateListen is TCP_LISTEN in the notation of /proc/net/tcp.
const stateListen = "0A"

// listensOn reports whether a TCP socket listens on addr in the network namespace of a process.
func listensOn(pid int, addr netip.AddrPort) (bool, error) {
	file := fmt.Sprintf("/proc/%d/net/tcp", pid)
	if addr.Addr().Is6() {
		file += "6"
	}
	table, err := os.ReadFile(file)
	if err != nil {
		return false, fmt.Errorf("look for listening sockets: %w", err)
	}
	return listensIn(string(table), addr), nil
}

// listensIn looks for a listening socket in the text of /proc/net/tcp or tcp6: of each line, the second field is the local
// address and the fourth the state.
func listensIn(table string, addr netip.AddrPort) bool {
	want := procAddr(addr)
	for line := range strings.Lines(table) {
		if fields := strings.Fields(line); len(fields) > 3 && fields[1] == want && fields[3] == stateListen {
			return true
		}
	}
	return false
}

// procAddr formats an address as the kernel does there: in words of 32 bits, each in the host's byte order, which is
// little-endian on all supported machines.
func procAddr(addr netip.AddrPort) string {
	var b strings.Builder
	for word := range slices.Chunk(addr.Addr().AsSlice(), 4) {
		fmt.Fprintf(&b, "%02X%02X%02X%02X", word[3], word[2], word[1], word[0])
	}
	fmt.Fprintf(&b, ":%04X", addr.Port())
	return b.String()
}
