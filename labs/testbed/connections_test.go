package testbed

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/results/stats"
	"github.com/dsrlab/dsrlab/topologies"
)

const (
	connectionTurns   = 15
	connectionTime    = 400 * time.Millisecond
	connectionCallers = 4
)

// BenchmarkConnections compares the CPU time that a short connection takes (connect, a byte there, a byte back, close) under the
// variants, where no link limits them. The variants take turns; the ratios to plain routing are what counts. How many connections a
// second there are and how long each takes is this machine's.
func BenchmarkConnections(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("needs root: makes network namespaces")
	}
	tb := upWith(b, "talk", func(t *topologies.Topology) {
		for i := range t.Spec.Nodes {
			t.Spec.Nodes[i].Link = topologies.LinkSpec{} // not shaped
		}
	})
	answerBytes(b, tb)
	variants := []Variant{
		{Name: "none", DataPath: DataPathNone},
		{Name: "kube-proxy", DataPath: DataPathKubeProxy},
		{Name: "snat", DataPath: DataPathDSRLab, Mode: services.ModeSNAT},
		{Name: "dsr", DataPath: DataPathDSRLab, Mode: services.ModeDSR},
		{Name: "dsr-xdp", DataPath: DataPathDSRLab, Mode: services.ModeDSR, Hook: dataplane.HookXDP},
	}
	cpu, rates, latencies, failed := make(costs), make(map[string][]float64), make(map[string][]time.Duration), make(map[string]int)
	for range connectionTurns {
		for _, v := range variants {
			require.NoError(b, tb.Install(b.Context(), v))
			to, err := tb.Target(Target{Service: "tcp-echo", Port: "bulk"}, v)
			require.NoError(b, err)
			var took []time.Duration
			var errs []error
			busy := busyDuring(func() { took, errs = shortConnections(tb, to) })
			for _, err := range errs {
				b.Logf("%s: %v", v.Name, err)
			}
			require.NotEmpty(b, took, v.Name)
			failed[v.Name] += len(errs)
			cpu[v.Name] = append(cpu[v.Name], busy/float64(len(took)))
			rates[v.Name] = append(rates[v.Name], float64(len(took))/connectionTime.Seconds())
			latencies[v.Name] = append(latencies[v.Name], took...)
		}
	}
	cpu.report(b, variants, "", "cpu-us/conn", 1e6)
	for _, v := range variants {
		all := latencies[v.Name]
		slices.Sort(all)
		b.ReportMetric(stats.Median(rates[v.Name]), v.Name+"-conn/s")
		b.ReportMetric(float64(all[len(all)/2].Microseconds()), v.Name+"-p50-us")
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), v.Name+"-p99-us")
		b.ReportMetric(float64(failed[v.Name]), v.Name+"-failed")
	}
	b.ReportMetric(0, "ns/op")
}

// answerBytes serves in the pod: reads a byte, writes it back, closes. The server closes first, so that the client's ports are
// free again at once; and its kernel keeps none in TIME-WAIT, where those of one variant would hold up the next one's.
func answerBytes(b *testing.B, tb *Testbed) {
	var fd int
	require.NoError(b, tb.network.Do(tb.plan.Pods[0].Name, func() (err error) {
		if err := os.WriteFile("/proc/sys/net/ipv4/tcp_max_tw_buckets", []byte("0"), 0); err != nil {
			return err
		}
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Port: 5201}), unix.Listen(fd, 1024))
	}))
	b.Cleanup(func() { _ = errors.Join(unix.Shutdown(fd, unix.SHUT_RDWR), unix.Close(fd)) })
	for range connectionCallers { // by system calls alone, as the callers
		go func() {
			one := make([]byte, 1)
			for {
				conn, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
				if err != nil {
					return
				}
				if n, err := unix.Read(conn, one); err == nil && n == 1 {
					_, _ = unix.Write(conn, one)
				}
				_ = unix.Close(conn)
			}
		}()
	}
}

// shortConnections makes connections, several at a time, for connectionTime, and returns how long each took, and why others
// failed.
func shortConnections(tb *Testbed, to netip.AddrPort) (took []time.Duration, failed []error) {
	var mu sync.Mutex
	var group sync.WaitGroup
	end := time.Now().Add(connectionTime)
	for range connectionCallers {
		group.Go(func() {
			var own []time.Duration
			var errs []error
			err := tb.network.Do("client", func() error { // once: to enter a namespace costs more than a connection
				for time.Now().Before(end) {
					began := time.Now()
					if err := shortConnection(to); err != nil {
						errs = append(errs, err)
						continue
					}
					own = append(own, time.Since(began))
				}
				return nil
			})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
			}
			took, failed = append(took, own...), append(failed, errs...)
		})
	}
	group.Wait()
	return took, failed
}

// shortConnection is one connection by system calls alone: Go's own sockets would cost as much as what is measured.
func shortConnection(to netip.AddrPort) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make socket: %w", err)
	}
	defer unix.Close(fd)
	timeout := unix.NsecToTimeval((2 * time.Second).Nanoseconds())
	if err := errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout)); err != nil {
		return fmt.Errorf("set timeouts: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		return fmt.Errorf("connect to %v: %w", to, err)
	}
	buffer := []byte{1}
	if _, err := unix.Write(fd, buffer); err != nil {
		return fmt.Errorf("write to %v: %w", to, err)
	}
	for n := 1; n > 0; { // until the server has closed
		if n, err = unix.Read(fd, buffer); err != nil {
			return fmt.Errorf("read from %v: %w", to, err)
		}
	}
	return nil
}
