package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/download"
	"github.com/dsrlab/dsrlab/labs/workload/inference"
	"github.com/dsrlab/dsrlab/labs/workload/l7proxy"
	"github.com/dsrlab/dsrlab/labs/workload/tcpproxy"
)

// labpod runs a command line.
func labpod(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, streams{out: &o, err: &e})
	return code, o.String(), e.String()
}

// background runs a command that serves, until the test ends or stop is called, and returns the addresses of its servers on
// IPv6 loopback, by kind. stop returns what it wrote after it was ready.
func background(t *testing.T, args ...string) (addresses map[workload.Kind]string, stop func() string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	var errs bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, args, streams{out: writer, err: &errs})
		writer.Close()
	}()
	lines := bufio.NewReader(reader)
	line, err := lines.ReadBytes('\n')
	require.NoError(t, err)
	rest := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(lines)
		rest <- string(b)
	}()
	stop = sync.OnceValue(func() string {
		cancel()
		assert.Equal(t, exitOK, <-ended)
		assert.Empty(t, errs.String())
		return <-rest
	})
	t.Cleanup(func() { stop() })
	var ready struct {
		Msg     string
		Servers []workload.Listening
	}
	require.NoError(t, json.Unmarshal(line, &ready))
	require.Equal(t, "ready", ready.Msg)
	addresses = map[workload.Kind]string{}
	for _, s := range ready.Servers {
		addresses[s.Kind] = netip.AddrPortFrom(netip.IPv6Loopback(), s.Address.Port()).String()
	}
	return addresses, stop
}

// serveAll starts all servers and returns their addresses on IPv6 loopback.
func serveAll(t *testing.T) map[workload.Kind]string {
	t.Helper()
	addresses, _ := background(t, "serve", "--echo", "0", "--bulk", "[::1]:0", "--dns", "0", "--inference", "0", "--download", "0")
	require.Len(t, addresses, 5)
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
		assert.Positive(t, report.Download.PayloadRate)
		code, out, errs = labpod(t, "bulk", "--seconds", "0.2", at[workload.KindBulk])
		assert.Equal(t, exitOK, code, errs)
		assert.Contains(t, out, "download")
	})
	t.Run("load", func(t *testing.T) {
		code, out, errs := labpod(t, "load", "--shape", "video", "--request", "10-20", "--workers", "2", "--count", "4", "-o", "json", at[inference.Kind])
		assert.Equal(t, exitOK, code, errs)
		var report inference.Report
		require.NoError(t, json.Unmarshal([]byte(out), &report))
		assert.EqualValues(t, 4*50_000, report.BytesIn)
		assert.Equal(t, 4, report.Completion.Count)
		code, out, errs = labpod(t, "load", "--response", "2000", "--token-rate", "100", "--rate", "100", "--count", "3", at[inference.Kind])
		assert.Equal(t, exitOK, code, errs)
		assert.Regexp(t, `per token +3 `, out)
		assert.Regexp(t, `server's pace +3 `, out)
		assert.Contains(t, out, "Mbit/s in (6000 bytes)")
	})
	t.Run("download", func(t *testing.T) {
		code, out, errs := labpod(t, "download", "--count", "3", "--rate", "1e6", "--length", "100ms", "-o", "json", at[download.Kind])
		assert.Equal(t, exitOK, code, errs)
		var report download.Report
		require.NoError(t, json.Unmarshal([]byte(out), &report))
		assert.Equal(t, map[download.End]int{download.Completed: 3}, report.Ends)
		code, out, errs = labpod(t, "download", "--length", "1ms", at[download.Kind])
		assert.Equal(t, exitOK, code, errs)
		assert.Regexp(t, `completed +1 `, out)
	})
}

func TestProxies(t *testing.T) {
	plain, _ := background(t, "serve", "--echo", "0")
	parsing, stopEcho := background(t, "serve", "--echo", "0", "--proxy-protocol", "--proxy-from", "::1/128")

	l7, stop := background(t, "l7proxy", "--listen", "0", "--upstream", plain[workload.KindEcho], "--trusted-hops", "1")
	code, out, errs := labpod(t, "get", "-H", "X-Forwarded-For: 6.6.6.6, 192.0.2.10", "-o", "json", "http://"+l7[l7proxy.Kind]+"/")
	assert.Equal(t, exitOK, code, errs)
	assert.Contains(t, out, `X-Forwarded-For: 192.0.2.10, ::1\n`)
	assert.Contains(t, stop(), `"msg":"report","server":"l7proxy","report":{"connections":1,"requests":1,"failed":0,`)

	pp, stop := background(t, "tcpproxy", "--listen", "0", "--upstream", parsing[workload.KindEcho], "--send", "v2")
	code, out, errs = labpod(t, "connect", "--detail", "-o", "json", pp[tcpproxy.Kind])
	assert.Equal(t, exitOK, code, errs)
	var report workload.ConnectReport
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	assert.True(t, report.Connections[0].Preserved)
	assert.NotEqual(t, report.Connections[0].Seen, report.Connections[0].Socket)
	assert.Contains(t, stop(), `"msg":"report","server":"tcpproxy","report":{"connections":1,`)

	code, out, _ = labpod(t, "connect", "--detail", "--proxy-header", "v1", plain[workload.KindEcho])
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, out, "garbled")
	code, out, errs = labpod(t, "connect", "--proxy-header", "v2=[2001:db8::a]:5", parsing[workload.KindEcho])
	assert.Equal(t, exitOK, code, errs)
	assert.Contains(t, out, "[2001:db8::a]:5")
	code, _, errs = labpod(t, "connect", "--proxy-header", "v2=local", parsing[workload.KindEcho])
	assert.Equal(t, exitOK, code, errs)
	assert.Contains(t, stopEcho(), `"report":{"connections":3,"requests":0,"datagrams":0,"proxyHeaders":3,"garbled":0}`)
}

func TestApplications(t *testing.T) {
	for _, test := range []struct {
		args, path string
		status     int
		record     string
	}{
		{"ratelimit --rate 1 --block ::1/128", "/", 403, `"shutOut":1`},
		{"audit", "/a", 200, `"path":"/a"`},
		{"geo --region ::1/128=home", "/", 200, `"regions":{"home":1}`},
		{"visitors", "/", 200, `"visitors":1`},
		{"quota --tokens 5", "/?tokens=6", 429, `"refused":1`},
		{"callback", "/?port=1", 200, `"outcomes":{"refused":1}`},
	} {
		args := strings.Fields(test.args)
		at, stop := background(t, append([]string{"app", args[0], "--listen", "0"}, args[1:]...)...)
		code, out, errs := labpod(t, "get", "-o", "json", "http://"+at[workload.Kind(args[0])]+test.path)
		assert.Equal(t, exitOK, code, errs)
		assert.Contains(t, out, fmt.Sprintf(`"status": %d`, test.status))
		if args[0] == "callback" {
			code, out, errs = labpod(t, "callme", at["callback"])
			assert.Equal(t, exitOK, code, errs)
			assert.Contains(t, out, "call came from [::1]:")
			test.record = `"outcomes":{"ok":1,"refused":1}`
		}
		assert.Contains(t, stop(), test.record)
	}
}

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"", exitUsage, "labpod: missing command: see labpod --help\n"},
		{"serve", exitUsage, "labpod: missing server (want --echo, --bulk, --dns, --inference or --download)\n"},
		{"serve --echo x --bulk 1:2:3", exitUsage, `labpod: parse listening address: found "x" (want PORT, ADDR:PORT or [ADDR6]:PORT)` + "\n" +
			`parse listening address: found "1:2:3" (want PORT, ADDR:PORT or [ADDR6]:PORT)` + "\n"},
		{"serve --http 80", exitUsage, "labpod: unknown flag: --http\n"},
		{"connect", exitUsage, "labpod: connect: missing argument (want ADDR:PORT)\n"},
		{"connect 1.2.3.4:5 --protocol sctp", exitUsage, `labpod: protocol: found "sctp" (want tcp or udp)` + "\n"},
		{"connect 1.2.3.4 --source x -o xml", exitUsage, `labpod: parse target "1.2.3.4": missing port (want ADDR:PORT or [ADDR6]:PORT)` + "\n" +
			`--source: found "x" (want ADDR, ADDR:PORT or [ADDR6]:PORT)` + "\n" + `--output: unknown format "xml" (want table, json or yaml)` + "\n"},
		{"get ftp://1.2.3.4", exitUsage, `labpod: URL: found "ftp://1.2.3.4" (want http://ADDR[:PORT]/…)` + "\n"},
		{"get -H x http://1.2.3.4", exitUsage, `labpod: header: found "x" (want Name: value)` + "\n"},
		{"bulk 1.2.3.4:5 --direction up", exitUsage, `labpod: direction: found "up" (want download, upload or both)` + "\n"},
		{"connect 1.2.3.4:5 --proxy-header v3", exitUsage, `labpod: PROXY header: found "v3" (want v1, v2, VERSION=ADDR:PORT or VERSION=local)` + "\n"},
		{"connect 1.2.3.4:5 --protocol udp --detail", exitUsage, "labpod: detail, PROXY header: found them with udp (want tcp)\n"},
		{"serve --bulk 0 --proxy-protocol", exitFailed, "labpod: start bulk server: the PROXY protocol is not supported\n"},
		{"serve --download 0 --echo 0 --proxy-protocol", exitFailed, "labpod: start download server: the PROXY protocol is not supported\n"},
		{"serve --echo 0 --proxy-from x", exitUsage, `labpod: proxy-from: found "x" (want ADDR/BITS)` + "\n"},
		{"l7proxy --upstream 1.2.3.4", exitUsage, `labpod: parse listening address: found "" (want PORT, ADDR:PORT or [ADDR6]:PORT)` + "\n" +
			`parse target "1.2.3.4": missing port (want ADDR:PORT or [ADDR6]:PORT)` + "\n"},
		{"l7proxy --listen 0 --trust-all --trusted-hops 2", exitUsage,
			"labpod: trusted hops, trusted proxies, trust all: found several (want at most one)\nmissing upstream (want ADDR:PORT or [ADDR6]:PORT)\n"},
		{"tcpproxy --listen 0 --upstream 1.2.3.4:5 --send v3", exitUsage, `labpod: PROXY protocol version: found "v3" (want none, v1 or v2)` + "\n"},
		{"app", exitUsage, "labpod: missing application: see labpod app --help\n"},
		{"app chat", exitUsage, `labpod: unknown application "chat": see labpod app --help` + "\n"},
		{"app geo --listen 0 --region x", exitUsage, `labpod: region: found "x" (want PREFIX=NAME, as 192.0.2.0/24=eu)` + "\n"},
		{"app quota --listen 0 --tokens 0", exitUsage, "labpod: quota: found 0 tokens (want 1 or more)\n"},
		{"bgp", exitUsage, "labpod: want announce or learn: see labpod bgp --help\n"},
		{"bgp announce --id x --next-hop y", exitUsage, `labpod: --id: found "x" (want an IP address)` + "\n" + `--router: found "" (want an IP address)` + "\n" +
			`--next-hop: found "y" (want an IP address)` + "\n"},
		{"bgp announce --id 1.2.3.4 --router 1.2.3.5 --vip ::1", exitUsage, "labpod: next hop: want one of the same IP version as VIP ::1\n"},
		{"bgp learn --id ::1", exitUsage, "labpod: router id: want an IPv4 address\npeer: want at least one to listen to\n"},
		{"callme 127.0.0.1:1", exitFailed, "labpod: call from 127.0.0.1:1 did not arrive\n"},
		{"load 1.2.3.4:5 --shape x", exitUsage, `labpod: unknown shape "x" (want one of llm, image, embeddings, video)` + "\n"},
		{"load 1.2.3.4:5 --rate x", exitUsage, `labpod: --rate: found "x" (want a number)` + "\n"},
		{"load 1.2.3.4:5 --request 1- --workers 1", exitUsage, `labpod: request: found "1-" (want BYTES or MIN-MAX)` + "\n"},
		{"load 1.2.3.4:5", exitUsage, "labpod: rate: found 0 (want more than 0 and at most 100000 calls per second)\nmissing count or duration\n"},
		{"load 127.0.0.1:1 --workers 1 --count 2", exitFailed, "labpod: load 127.0.0.1:1: 2 of 2 requests failed\n"},
		{"download 1.2.3.4:5 --rate 0", exitUsage, "labpod: bytes: found 0 (want 1 to 1099511627776)\nrate: found 0 (want more than 0 and at most 10000000000 bit/s)\n"},
		{"download 127.0.0.1:1", exitFailed, "labpod: download from 127.0.0.1:1: 1 of 1 not completed\n"},
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
