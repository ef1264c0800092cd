package proxies

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/l7proxy"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
	"github.com/dsrlab/dsrlab/labs/workload/tcpproxy"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// startTimeout is how long a program may take from its start until it listens, far more than on a busy machine. One that ends meanwhile is
// noticed at once.
const startTimeout = time.Minute

// Check returns an *UnsupportedError if proxies of the engine can't send headers of this version on this machine.
func Check(e Engine, send proxyproto.Version) error {
	var err error
	switch e {
	case Nginx:
		_, _, err = findNginx(send)
	case HAProxy:
		_, err = findHAProxy()
	}
	return err
}

// Version returns the engine's own version string, in one line.
func Version(e Engine) string {
	if e != Nginx && e != HAProxy {
		return string(Builtin)
	}
	text, err := exec.Command(string(e), "-v").CombinedOutput()
	if err != nil {
		return string(e) // starting it will report the reason
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}

// Running holds running proxies.
type Running struct {
	lab     *netns.Network
	servers *workload.Servers // built-in proxies
	names   []string          // processes of the others
}

// Start starts proxies and returns when all of them listen. They run until Close. If one fails to start, none runs.
func Start(ctx context.Context, lab *netns.Network, e Engine, all ...Proxy) (*Running, error) {
	r := &Running{lab: lab}
	for i := range all {
		if err := all[i].Validate(); err != nil {
			return nil, fmt.Errorf("start proxy %s: %w", all[i].Name, err)
		}
	}
	var err error
	if e == Nginx || e == HAProxy {
		for i := 0; i < len(all) && err == nil; i++ {
			err = r.startProgram(ctx, e, &all[i])
		}
	} else {
		err = r.serve(ctx, all)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close(context.WithoutCancel(ctx)))
	}
	return r, nil
}

// Close stops the proxies and waits until they have ended.
func (r *Running) Close(ctx context.Context) error {
	var errs []error
	if r.servers != nil {
		errs = append(errs, r.servers.Close())
	}
	for _, name := range r.names {
		errs = append(errs, r.lab.Stop(ctx, name))
	}
	return errors.Join(errs...)
}

// serve runs proxies in this process.
func (r *Running) serve(ctx context.Context, all []Proxy) error {
	var opened []workload.Server
	for _, p := range all {
		dialer := workload.Dialer{Enter: func(f func() error) error { return r.lab.Do(p.Node, f) }}
		upstreams := []netip.AddrPort{p.Upstream}
		var server workload.Server
		var err error
		if p.Send == proxyproto.None {
			server, err = l7proxy.Open(ctx, l7proxy.Options{
				Dialer: dialer, Listen: p.Listen, Upstreams: upstreams, Trust: l7proxy.Trust{All: true},
			})
		} else {
			server, err = tcpproxy.Open(ctx, tcpproxy.Options{Dialer: dialer, Listen: p.Listen, Upstreams: upstreams, Send: p.Send})
		}
		if err != nil {
			for _, o := range opened {
				o.Close()
			}
			return fmt.Errorf("start proxy %s: %w", p.Name, err)
		}
		opened = append(opened, server)
	}
	r.servers = workload.Run(ctx, opened...)
	return nil
}

// startProgram starts a proxy as a process on its node, and waits until it listens.
func (r *Running) startProgram(ctx context.Context, e Engine, p *Proxy) error {
	argv, err := p.command(e, r.lab.Dir())
	if err != nil {
		return fmt.Errorf("start proxy %s: %w", p.Name, err)
	}
	pid, err := r.lab.Start(ctx, p.Node, netns.Process{Name: p.Name, Argv: argv})
	if err != nil {
		return err
	}
	r.names = append(r.names, p.Name)
	if err := r.waitListening(ctx, pid, p); err != nil {
		return fmt.Errorf("start proxy %s: %w%s", p.Name, err, r.logged(p.Name))
	}
	return nil
}

// command writes the proxy's configuration into a folder and returns the command line that starts it.
func (p *Proxy) command(e Engine, dir string) (argv []string, err error) {
	prefix := filepath.Join(dir, p.Name)
	file := prefix + ".conf"
	var config string
	switch e {
	case Nginx:
		program, module, err := findNginx(p.Send)
		if err != nil {
			return nil, err
		}
		if config, err = p.NginxConfig(prefix, module); err != nil {
			return nil, err
		}
		argv = []string{program, "-e", "stderr", "-c", file}
	default:
		program, err := findHAProxy()
		if err != nil {
			return nil, err
		}
		config = p.HAProxyConfig()
		argv = []string{program, "-db", "-f", file}
	}
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, fmt.Errorf("configure %s: %w", e, err)
	}
	return argv, nil
}

// waitListening waits until the proxy listens. It asks the kernel, because a connection would be forwarded to
// the upstream.
func (r *Running) waitListening(ctx context.Context, pid int, p *Proxy) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("it is not within %s", startTimeout))
	defer cancel()
	for {
		listens, err := listensOn(pid, p.Listen)
		if err != nil || !r.lab.IsRunning(p.Name) {
			return errors.Join(errors.New("process ended at once"), err)
		}
		if listens {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until it listens on %v: %w", p.Listen, context.Cause(ctx))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// logged returns the end of the program's log, for an error's text.
func (r *Running) logged(name string) string {
	text, err := os.ReadFile(filepath.Join(r.lab.Dir(), "logs", name+".log"))
	if err != nil || len(text) == 0 {
		return ""
	}
	return "; its log: " + string(text[max(0, len(text)-1000):])
}
