package testbed

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/dsrlab/dsrlab/topologies"
)

// findProgram returns the path of another of our programs: the one given, or the one of this name beside this program.
func findProgram(named, name, what string) (string, error) {
	if named == "" {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("find %s: %w", name, err)
		}
		named = filepath.Join(filepath.Dir(self), name)
	}
	if _, err := os.Stat(named); err != nil {
		return "", fmt.Errorf("find %s, %s: %w; `make build` puts it beside dsrlab", name, what, err)
	}
	return named, nil
}

// LabPod returns the path of the workload binary, which also speaks BGP.
func (tb *Testbed) LabPod() (string, error) {
	return findProgram(tb.labPod, "labpod", "the workload binary")
}

// startWorkload starts the servers of all pods and waits until they answer.
func (tb *Testbed) startWorkload(ctx context.Context, labPod string, onStep func(string)) error {
	if err := tb.platform().startPods(ctx, labPod, onStep); err != nil {
		return err
	}
	for _, p := range tb.plan.Pods {
		for _, w := range p.Workload {
			if err := tb.waitServing(ctx, p, w); err != nil {
				return err
			}
		}
	}
	return nil
}

// serveTimeout is how long a server may take to listen, far more than on a busy machine.
const serveTimeout = time.Minute

// waitServing connects to a server from within its pod until it accepts.
func (tb *Testbed) waitServing(ctx context.Context, p topologies.Pod, w topologies.WorkloadSpec) error {
	ctx, cancel := context.WithTimeout(ctx, serveTimeout)
	defer cancel()
	address := netip.AddrPortFrom(p.Addresses[0], w.Port).String()
	for {
		err := tb.network.Do(p.Name, func() error {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err != nil {
				return err
			}
			return conn.Close()
		})
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s of %s on port %d: %w", w.Kind, p.Name, w.Port, err)
		case <-time.After(2 * time.Millisecond):
		}
	}
}
