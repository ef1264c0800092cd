package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies/rtnl"
)

// builder builds a network. It keeps a netlink connection to every namespace, so that it does not have to enter one.
type builder struct {
	*Network
	mu         sync.Mutex
	namespaces map[string]*namespace
	// engineBridge is what the wires of nodes that others made are ports of.
	engineBridge string
}

// namespace is an open namespace of the network.
type namespace struct {
	fd   int // file descriptor
	conn *rtnl.Conn
}

func (b *builder) close() {
	for _, p := range b.namespaces {
		unix.Close(p.fd)
		p.conn.Close()
	}
}

// ns returns an open namespace, or nil if it does not exist yet.
func (b *builder) ns(name string) *namespace { return b.namespaces[name] }

// build makes everything, in the order in which it costs least: links while they are down, bridges up last.
func (nw *Network) build(ctx context.Context, o Options) error {
	b := &builder{Network: nw, namespaces: make(map[string]*namespace)}
	defer b.close()
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"journal", b.begin},
		{"cluster", func() error { return b.createExternalNodes(ctx, o.Provider) }},
		{"namespaces", b.makeNamespaces},
		{"bpffs", b.mountBPF},
		{"wires", b.makeWires},
		{"nodes", b.configureNodes},
		{"pods", b.makePods},
		{"fabric", b.configureFabric},
		{"shaping", b.shapeWires},
		{"bridges", b.raiseBridges},
		{"settling", func() error { return b.waitReady(ctx) }},
		{"cluster's pods", func() error { return b.createExternalPods(ctx, o.Provider) }},
		{"steering", func() error {
			if err := b.steer(); err != nil {
				o.Log.Warn("packets are not steered to CPUs: TCP sees reordering that no wire has, and fast links may not reach their rate", "err", err)
			}
			return nil
		}},
		{"complete", b.complete},
	} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if strings.HasPrefix(step.name, "cluster") && !nw.hasExternal() {
			continue
		}
		o.OnStep(step.name)
		start := time.Now()
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		o.Log.Debug("built", "network", nw.name, "step", step.name, "took", time.Since(start))
	}
	return ctx.Err() // it came too late for another step
}

// complete records that the network is complete, if its namespaces still have their names.
func (b *builder) complete() error {
	for _, name := range b.ownNamespaces() {
		p := b.ns(name)
		var made, named unix.Stat_t
		path := filepath.Join(namespaceDir, namespaceName(b.name, name))
		if err := unix.Fstat(p.fd, &made); err != nil {
			return fmt.Errorf("look for %s: %w", path, err)
		}
		if unix.Stat(path, &named) != nil || made.Ino != named.Ino {
			return fmt.Errorf("someone has taken %s away", path)
		}
	}
	if err := b.writePlan(); err != nil {
		return err
	}
	return b.journal.add(entry{Kind: "complete"})
}

// makers is how many namespaces are made at a time: the kernel does most of it without a lock.
const makers = 2

// makeNamespaces makes all namespaces, with their settings.
func (b *builder) makeNamespaces() error {
	if err := b.makeNamespaceDir(); err != nil {
		return err
	}
	names := b.ownNamespaces()
	for _, ns := range names {
		if err := b.journal.add(entry{Kind: "namespace", Name: namespaceName(b.name, ns)}); err != nil {
			return err
		}
	}
	var group errgroup.Group
	for first := range makers {
		group.Go(func() error {
			return onThread(func(func()) error {
				for i := first; i < len(names); i += makers {
					if err := b.makeNamespace(names[i]); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	return group.Wait()
}

// makeNamespaceDir makes the folder of all named namespaces where there is none, and makes it the network's then.
func (b *builder) makeNamespaceDir() error {
	if _, err := os.Stat(namespaceDir); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := b.journal.add(entry{Kind: "folder", Name: namespaceDir}); err != nil {
		return err
	}
	return os.MkdirAll(namespaceDir, 0o755)
}

// makeNamespace makes a namespace, and leaves the thread inside.
func (b *builder) makeNamespace(name string) error {
	p, err := newNamespace(namespaceName(b.name, name), mark{b.id, name, stateFolderID(b.stateDir)}.String())
	if err != nil {
		return missing("network namespaces", "a kernel with CONFIG_NET_NS", err)
	}
	b.mu.Lock()
	b.namespaces[name] = p
	b.mu.Unlock()
	return setSysctls(b.sysctls(name))
}

// sysctls are the sysctls of a namespace; they are set before it has any device, so devices inherit them.
func (nw *Network) sysctls(ns string) map[string]string {
	s := map[string]string{
		"ipv4/conf/all/rp_filter": "0", "ipv4/conf/default/rp_filter": "0", // answers come back another way
		"ipv6/conf/default/accept_dad": "0", "ipv6/conf/default/accept_ra": "0",
		"ipv6/conf/default/router_solicitations": "0",
	}
	if n := nw.plan.Node(ns); ns == Fabric || n != nil && n.Role.Forwards() {
		s["ipv4/ip_forward"] = "1"
		s["ipv6/conf/all/forwarding"] = "1"
		s["ipv4/conf/all/send_redirects"] = "0"
		s["ipv4/conf/default/send_redirects"] = "0"
		s["ipv4/fib_multipath_hash_policy"] = "1" // by ports too
		s["ipv6/fib_multipath_hash_policy"] = "1"
	} else {
		s["ipv4/ip_forward"] = "0" // whatever the host has
	}
	if ns == Fabric { // a switch has no firewall, whatever modules the host has loaded
		s["bridge/bridge-nf-call-iptables"] = "0"
		s["bridge/bridge-nf-call-ip6tables"] = "0"
		s["bridge/bridge-nf-call-arptables"] = "0"
	}
	return s
}
