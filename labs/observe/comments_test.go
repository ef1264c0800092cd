package observe

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/pcapgo"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/capture"
	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// captureWith captures at a node with comments while do runs.
func captureWith(t *testing.T, tb *testbed.Testbed, node, device string, do func()) []byte {
	t.Helper()
	comments, err := NewComments(tb, node, device)
	require.NoError(t, err)
	options := netns.CaptureOptions{Device: device}
	if comments != nil {
		options.Comments = comments
		defer func() { require.NoError(t, comments.Close()) }()
	}
	begun := &begins{Commenter: options.Comments, at: make(chan struct{})}
	if comments != nil {
		options.Comments = begun
	} else {
		close(begun.at)
	}
	socket, err := tb.Network().OpenCapture(node, options)
	require.NoError(t, err)
	defer socket.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var file bytes.Buffer
	done := make(chan error, 1)
	go func() {
		stats, err := socket.Record(ctx, &file)
		if stats.Lost > 0 {
			err = errors.Join(err, errors.New("packets were lost"))
		}
		done <- err
	}()
	select {
	case <-begun.at:
		do()
	case err := <-done:
		require.NoError(t, err)
	}
	cancel()
	require.NoError(t, <-done)
	return file.Bytes()
}

// begins tells when comments have begun.
type begins struct {
	netns.Commenter
	at chan struct{}
}

func (b *begins) Begin() error {
	defer close(b.at)
	return b.Commenter.Begin()
}

// commentsIn are a capture's comments in order, each followed by how often in a row it is there; and how many packets have none.
func commentsIn(t *testing.T, file []byte) (comments []string, without int) {
	t.Helper()
	r, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.DefaultNgReaderOptions)
	require.NoError(t, err)
	for {
		_, _, options, err := r.ReadPacketDataWithOptions()
		if errors.Is(err, io.EOF) {
			return comments, without
		}
		require.NoError(t, err)
		if len(options.Comments) == 0 {
			without++
		}
		comments = append(comments, options.Comments...)
	}
}

// TestComments: on both nodes the first packets of connections, and no others than those decided about, have what was decided.
func TestComments(t *testing.T) {
	tb := serving(t)
	for _, hook := range []dataplane.Hook{dataplane.HookTC, dataplane.HookXDP} {
		require.NoError(t, tb.Install(t.Context(), testbed.Variant{Name: "dsr", DataPath: testbed.DataPathDSRLab, Mode: services.ModeDSR, Hook: hook}))
		const calls = 5
		dial := func() { labtest.Connect(t, tb, "client", workload.TCP, echoVIP, calls, labtest.Patience) }
		lb, _ := commentsIn(t, captureWith(t, tb, "lb", "eth0", dial))
		worker, without := commentsIn(t, captureWith(t, tb, "worker", "", dial))
		toOverlay := "dsrlab lb: to-overlay-dsr, frontend 185.150.8.128:8080, backend 10.0.1.50:8080 (tcp-echo) on worker"
		if hook == dataplane.HookTC { // XDP is before the capture
			assert.GreaterOrEqual(t, count(lb, toOverlay), calls, "%q", lb)
		}
		assert.Equal(t, len(lb), count(lb, toOverlay), "%q", lb)
		if hook == dataplane.HookXDP {
			continue
		}
		fromOverlay := "dsrlab worker: from-overlay, frontend 185.150.8.128:8080 by the DSR option, backend 10.0.1.50:8080 (tcp-echo) on worker, from lb"
		assert.GreaterOrEqual(t, count(worker, fromOverlay), calls, "%q", worker)
		reply := "dsrlab worker: reply-direct, frontend 185.150.8.128:8080, backend 10.0.1.50:8080 (tcp-echo) on worker"
		assert.GreaterOrEqual(t, count(worker, reply), calls, "%q", worker)
		assert.Positive(t, without)
	}
	client, without := commentsIn(t, captureWith(t, tb, "client", "eth0", func() { labtest.Connect(t, tb, "client", workload.TCP, echoVIP, 1, labtest.Patience) }))
	assert.Empty(t, client, "a client has no data path")
	assert.Positive(t, without)
}

func count(all []string, one string) (n int) {
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

// TestCommentsInTShark: Wireshark shows a dropped packet's comment, and the frontend in the DSR option of what was sent on.
func TestCommentsInTShark(t *testing.T) {
	labtest.RequirePrograms(t, "tshark")
	tb := serving(t)
	require.NoError(t, tb.Install(t.Context(), dsr))
	closed := netip.AddrPortFrom(echoVIP.Addr(), 9)
	data := captureWith(t, tb, "lb", "eth0", func() {
		labtest.Connect(t, tb, "client", workload.TCP, echoVIP, 1, labtest.Patience)
		require.NoError(t, tb.Network().Do("client", func() error {
			conn, err := net.Dial("udp", closed.String())
			if err != nil {
				return err
			}
			defer conn.Close()
			_, err = conn.Write([]byte("x"))
			return err
		}))
		require.Eventually(t, func() bool { return labtest.Count(t, tb, "no-frontend") == 1 }, labtest.Patience, labtest.Patience/1000)
	})
	dir := t.TempDir()
	file, script := filepath.Join(dir, "lb.pcapng"), filepath.Join(dir, "dsr.lua")
	require.NoError(t, os.WriteFile(file, data, 0o600))
	require.NoError(t, os.WriteFile(script, []byte(capture.Dissector), 0o600))
	tshark := func(filter string, fields ...string) []string {
		args := []string{"-X", "lua_script:" + script, "-r", file, "-Y", filter, "-T", "fields", "-E", "separator=|"}
		for _, f := range fields {
			args = append(args, "-e", f)
		}
		out, err := exec.Command("tshark", args...).Output()
		require.NoError(t, err)
		return strings.Split(strings.TrimSpace(string(out)), "\n")
	}
	assert.Equal(t, []string{"dsrlab lb: dropped, no-frontend|185.150.8.128|9"},
		tshark(`frame.comment contains "dropped"`, "frame.comment", "ip.dst", "udp.dstport"))
	assert.Equal(t, []string{"185.150.8.128:8080|185.150.8.128|8080"},
		tshark("geneve.dsr && tcp.flags.syn == 1", "geneve.dsr.frontend", "geneve.dsr.ipv4", "geneve.dsr.port"))
	assert.Equal(t, []string{""}, tshark("geneve.dsr.malformed || _ws.lua.error", "frame.number"))
}
