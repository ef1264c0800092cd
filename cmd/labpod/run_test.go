package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/dsrlab/dsrlab/labs/workload"
)

// labpod runs a command line.
func labpod(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, streams{out: &o, err: &e})
	return code, o.String(), e.String()
}

// serveAll starts all servers and returns their addresses on IPv6 loopback.
func serveAll(t *testing.T) map[workload.Kind]string {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	var errs bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"serve", "--echo", "0", "--bulk", "[::1]:0", "--dns", "0"}, streams{out: writer, err: &errs})
		writer.Close()
	}()
	lines := bufio.NewReader(reader)
	line, err := lines.ReadBytes('\n')
	require.NoError(t, err)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, lines)
	}()
	t.Cleanup(func() {
		stop()
		assert.Equal(t, exitOK, <-ended)
		assert.Empty(t, errs.String())
		<-drained
	})
	var ready struct {
		Msg     string
		Servers []workload.Listening
	}
	require.NoError(t, json.Unmarshal(line, &ready))
	require.Equal(t, "ready", ready.Msg)
	addresses := map[workload.Kind]string{}
	for _, s := range ready.Servers {
		addresses[s.Kind] = netip.AddrPortFrom(netip.IPv6Loopback(), s.Address.Port()).String()
	}
	require.Len(t, addresses, 3)
	return addresses
}

func TestCommands(t *testing.T) {
	at := serveAll(t)

	t.Run("connect", func(t *testing.T) {
		for _, protocol := range []string{"tcp", "udp"} {
			code, out, errs := labpod(t, "connect", "--protocol", protocol, "--count", "5", "-o", "json", at[workload.KindEcho])
			assert.Equal(t, exitOK, code, errs)
			var report workload.ConnectReport
			require.NoError(t, json.Unmarshal([]byte(out), &report))
			assert.Equal(t, 5, report.Preserved)
			assert.EqualValues(t, protocol, report.Connections[0].Protocol)
		}
		code, out, _ := labpod(t, "connect", "--source", "::1", at[workload.KindEcho])
		assert.Equal(t, exitOK, code)
		assert.Contains(t, out, "1 of 1 answered, 1 of them with the client's own address")
	})
	t.Run("get", func(t *testing.T) {
		code, out, errs := labpod(t, "get", "-H", "X-Forwarded-For: 6.6.6.6", "-o", "yaml", "http://"+at[workload.KindEcho]+"/a")
		assert.Equal(t, exitOK, code, errs)
		var report workload.GetReport
		require.NoError(t, yaml.Unmarshal([]byte(out), &report))
		assert.Equal(t, 200, report.Responses[0].Status)
		assert.Contains(t, report.Responses[0].Body, "GET /a\nX-Forwarded-For: 6.6.6.6\n")
	})
	t.Run("bulk", func(t *testing.T) {
		code, out, errs := labpod(t, "bulk", "--direction", "both", "--bytes", "1000000", "--streams", "2", "-o", "json", at[workload.KindBulk])
		assert.Equal(t, exitOK, code, errs)
		var report workload.BulkReport
		require.NoError(t, json.Unmarshal([]byte(out), &report))
		assert.EqualValues(t, 1000000, report.Download.Bytes)
		assert.EqualValues(t, 1000000, report.Upload.Bytes)
		assert.Positive(t, report.Download.Goodput)
		code, out, errs = labpod(t, "bulk", "--seconds", "0.2", at[workload.KindBulk])
		assert.Equal(t, exitOK, code, errs)
		assert.Contains(t, out, "download")
	})
}

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"", exitUsage, "labpod: command missing: see labpod --help\n"},
		{"serve", exitUsage, "labpod: serve what? give --echo, --bulk or --dns\n"},
		{"serve --echo x --bulk 1:2:3", exitUsage, `labpod: parse listening address "x": want PORT, ADDR:PORT or [ADDR6]:PORT` + "\n" +
			`parse listening address "1:2:3": want PORT, ADDR:PORT or [ADDR6]:PORT` + "\n"},
		{"serve --http 80", exitUsage, "labpod: unknown flag: --http\n"},
		{"connect", exitUsage, "labpod: connect wants 1 argument (ADDR:PORT), got none\n"},
		{"connect 1.2.3.4:5 --protocol sctp", exitUsage, `labpod: protocol "sctp": want tcp or udp` + "\n"},
		{"connect 1.2.3.4 --source x -o xml", exitUsage, `labpod: parse target "1.2.3.4": port missing, want ADDR:PORT or [ADDR6]:PORT` + "\n" +
			`source "x": want ADDR, ADDR:PORT or [ADDR6]:PORT` + "\n" + `output "xml": want table, json or yaml` + "\n"},
		{"get ftp://1.2.3.4", exitUsage, `labpod: URL "ftp://1.2.3.4": want http://ADDR[:PORT]/…` + "\n"},
		{"get -H x http://1.2.3.4", exitUsage, `labpod: header "x": want Name: value` + "\n"},
		{"bulk 1.2.3.4:5 --direction up", exitUsage, `labpod: direction "up": want download, upload or both` + "\n"},
		{"connect 127.0.0.1:1", exitFailed, "labpod: call 127.0.0.1:1: 1 of 1 not answered\n"},
		{"get http://127.0.0.1:1/", exitFailed, "labpod: get http://127.0.0.1:1/: 1 of 1 without response\n"},
		{"bulk 127.0.0.1:1 --seconds 1", exitFailed, "labpod: connect to 127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused\n"},
	} {
		t.Run(test.args, func(t *testing.T) {
			code, _, errs := labpod(t, strings.Fields(test.args)...)
			assert.Equal(t, test.code, code)
			assert.Equal(t, test.want, errs)
		})
	}
}
