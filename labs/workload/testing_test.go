package workload

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// journal collects what servers log.
type journal struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.data.Write(b)
}

// entries returns the logged records whose message is msg.
func (j *journal) entries(t testing.TB, msg string) []map[string]any {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	var entries []map[string]any
	for line := range bytes.Lines(j.data.Bytes()) {
		entry := map[string]any{}
		require.NoError(t, json.Unmarshal(line, &entry))
		if entry["msg"] == msg {
			entries = append(entries, entry)
		}
	}
	return entries
}

// startServer starts one server on all addresses and returns its port.
func startServer(t testing.TB, kind Kind) (uint16, *journal) {
	t.Helper()
	log := &journal{}
	servers, err := Start(context.Background(), nil, slog.New(slog.NewJSONHandler(log, nil)), ServerSpec{Kind: kind})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, servers.Close()) })
	require.Len(t, servers.Listening(), 1)
	return servers.Listening()[0].Address.Port(), log
}

// loopbacks are the addresses that every test of both IP versions uses.
func loopbacks(port uint16) map[string]netip.AddrPort {
	return map[string]netip.AddrPort{
		"IPv4": netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port),
		"IPv6": netip.AddrPortFrom(netip.IPv6Loopback(), port),
	}
}
