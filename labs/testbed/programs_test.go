package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// upWith builds the named topology, without the pods' own workload, for one test.
func upWith(t testing.TB, name string, change func(*topologies.Topology)) *Testbed {
	t.Helper()
	return upOf(t, name, Options{}, change)
}

// upOf is upWith with options.
func upOf(t testing.TB, name string, o Options, change func(*topologies.Topology)) *Testbed {
	t.Helper()
	topology, err := topologies.Lookup(name)
	require.NoError(t, err)
	if change != nil {
		change(topology)
	}
	plan, err := topologies.PlanOf(topology)
	require.NoError(t, err)
	for i := range plan.Pods {
		plan.Pods[i].Workload = nil // the test's own programs serve
	}
	return upPlan(t, name, o, plan)
}

func upPlan(t testing.TB, name string, o Options, plan *topologies.Plan) *Testbed {
	t.Helper()
	o.StateDir, o.Name, o.LabPod = testLabs.StateDir(t), "test-"+name, os.Args[0]
	tb, _, err := Up(t.Context(), plan, o)
	require.NoError(t, err)
	return tb
}

// at runs a program in a namespace and returns what it printed.
func (tb *Testbed) at(t *testing.T, place string, argv ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	var out bytes.Buffer
	err := tb.network.Run(ctx, place, argv, netns.Streams{Out: &out, Err: &out})
	require.NoError(t, err, "%v: %s", argv, out.String())
	return out.String()
}

const nginxConfig = `daemon off;
error_log stderr;
pid %[1]s/nginx.pid;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
	server { listen 8080; location / { return 200 "nginx saw $remote_addr\n"; } }
}
`

// serveDNS answers every question for an address with the one that asked, over UDP, inside a pod.
func serveDNS(t *testing.T, tb *Testbed, pod string, port int) {
	t.Helper()
	var conn net.PacketConn
	require.NoError(t, tb.network.Do(pod, func() (err error) {
		conn, err = net.ListenPacket("udp4", fmt.Sprintf(":%d", port))
		return err
	}))
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		from := netip.MustParseAddrPort(w.RemoteAddr().String()).Addr()
		answer.Answer = []dns.RR{&dns.A{
			Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: from.AsSlice(),
		}}
		assert.NoError(t, w.WriteMsg(answer))
	})}
	go server.ActivateAndServe()
	t.Cleanup(func() { server.Shutdown() })
}

// TestRealPrograms: programs that know nothing of this project work through the VIP, and what is on the wire is right in the
// eyes of tshark.
func TestRealPrograms(t *testing.T) {
	labtest.RequirePrograms(t, "nginx", "curl", "iperf3", "dig", "tshark")
	tb := upWith(t, "talk", nil)
	dir := t.TempDir()
	config := filepath.Join(dir, "nginx.conf")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, nginxConfig, dir), 0o600))
	for _, p := range []netns.Process{
		{Name: "nginx", Argv: []string{"nginx", "-c", config, "-e", "stderr"}},
		{Name: "iperf3", Argv: []string{"iperf3", "-s", "-p", "5201"}},
	} {
		_, err := tb.network.Start(t.Context(), "tcp-echo", p)
		require.NoError(t, err)
	}
	serveDNS(t, tb, "tcp-echo", 8080)
	for _, port := range []int{8080, 5201} {
		waitListening(t, tb, "tcp-echo", port)
	}
	require.NoError(t, tb.network.Do("client", func() error { return checksumInSoftware("eth0") }))
	for mode, seen := range map[services.Mode]string{services.ModeSNAT: "192.168.1.11", services.ModeDSR: "192.168.1.202"} {
		t.Run(string(mode), func(t *testing.T) {
			require.NoError(t, tb.Install(t.Context(), Variant{Name: string(mode), DataPath: DataPathDSRLab, Mode: mode}))
			capture, err := os.Create(filepath.Join(dir, string(mode)+".pcapng"))
			require.NoError(t, err)
			defer capture.Close()
			stop, err := tb.network.StartCapture(t.Context(), "worker", "eth0", capture)
			require.NoError(t, err)

			assert.Equal(t, "nginx saw "+seen+"\n", tb.at(t, "client", "curl", "-sS", "--max-time", "20", "http://185.150.8.128:8080/"))
			assert.Equal(t, seen, strings.TrimSpace(tb.at(t, "client", "dig", "+short", "+tries=1", "+time=20", "@185.150.8.128", "-p", "8080", "whoami.test")))
			require.NoError(t, stop())
			for _, reverse := range []bool{false, true} {
				assert.Greater(t, iperf3(t, tb, reverse), 1e6, "reverse %v", reverse)
			}
			checkWithTShark(t, capture.Name(), mode)
		})
	}
}

func waitListening(t *testing.T, tb *Testbed, place string, port int) {
	t.Helper()
	require.Eventually(t, func() bool {
		return tb.network.Do(place, func() error {
			conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
			if err == nil {
				conn.Close()
			}
			return err
		}) == nil
	}, patience, 5*time.Millisecond)
}

// iperf3 is the receiver's rate in bit/s.
func iperf3(t *testing.T, tb *Testbed, reverse bool) float64 {
	t.Helper()
	argv := []string{"iperf3", "-J", "-t", "1", "-c", "185.150.8.128"}
	if reverse {
		argv = append(argv, "-R")
	}
	var report struct {
		End struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	require.NoError(t, json.Unmarshal([]byte(tb.at(t, "client", argv...)), &report))
	return report.End.Received.Rate
}

// checkWithTShark has Wireshark's dissectors look at every header and checksum.
func checkWithTShark(t *testing.T, file string, mode services.Mode) {
	t.Helper()
	tshark := func(args ...string) string {
		out, err := exec.Command("tshark", append([]string{"-r", file, "-o", "ip.check_checksum:TRUE",
			"-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE",
			"-d", "udp.port==8080,dns"}, args...)...).Output() // or it guesses: a query's first bytes may look like RTCP
		require.NoError(t, err)
		return strings.TrimSpace(string(out))
	}
	toNode := "geneve && ip.dst == 192.168.1.13"
	assert.NotEmpty(t, tshark("-Y", toNode), "requests come by Geneve")
	assert.Empty(t, tshark("-Y", toNode+" && (_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || "+
		"udp.checksum.status == 0 || _ws.expert.severity == error)"), "errors on what the LB node sent")
	options := tshark("-Y", toNode+" && tcp.flags.syn == 1", "-T", "fields", "-e", "geneve.option.class", "-e", "geneve.option.type")
	if mode == services.ModeDSR {
		assert.Equal(t, []string{"0x014b", "0x81"}, strings.Fields(strings.Split(options, "\n")[0]))
	} else {
		assert.Empty(t, strings.TrimSpace(options))
	}
}

// checksumInSoftware makes a device's packets carry finished checksums, so that a capture can tell whether they are right.
func checksumInSoftware(device string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	value := struct{ cmd, data uint32 }{cmd: unix.ETHTOOL_STXCSUM}
	var request struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	copy(request.name[:], device)
	request.data = unsafe.Pointer(&value)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return fmt.Errorf("turn off checksum offload of %s: %w", device, errno)
	}
	return nil
}
