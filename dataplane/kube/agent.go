package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/bgp"
	"github.com/dsrlab/dsrlab/dataplane/health"
	"github.com/dsrlab/dsrlab/dataplane/kube/network"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// Options of an agent.
type Options struct {
	// Node is the name of the node that it runs on.
	Node   string
	Config Config
	// Events are Watch's or Follow's.
	Events <-chan Event
	// PinDir is the folder of the node's data path on a bpffs.
	PinDir string
	// Addresses of the node (default: those of the device).
	Addresses []netip.Addr
	// Client writes Events about objects that can't be served; nil: they are in the log only.
	Client kubernetes.Interface
	Log    *slog.Logger
}

// resync is how often all is looked at again, whether or not anything has been told: what was refused gets another chance, and what
// others have removed comes back.
const resync = 10 * time.Second

// Agent keeps a node's data path and pod network as the cluster's objects say.
type Agent struct {
	options Options
	device  string
	path    *dataplane.DataPath
	cluster *Cluster
	objects objects
	checks  *health.Server
	// healthz is nil where nobody is to ask for the node's health.
	healthz *health.Proxy
	// speaker is nil where nothing is announced.
	speaker *bgp.Speaker
	// ground is what the programs are loaded for; broken is since when it has been another, and they could not be loaded for that.
	ground ground
	broken time.Time
	// unchecked: the kernel does not tell whether the programs are attached.
	unchecked bool
	seen      *surroundings // when all was applied last; nil: it is to be applied
	synced    bool          // all objects have been told once

	ending   atomic.Bool
	status   status
	network  Network
	refused  []services.Problem // by the data path
	problems *reporter
	full     map[string]int // how full maps were when that was last said, in percent
}

// New loads the node's data path, or replaces the programs of the one that is loaded already, whose tables it takes over: packets
// are forwarded as before until the cluster's objects are known. Call it, and Run, in the node's network namespace. Close gives
// back what it holds; the data path stays.
func New(o Options) (*Agent, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	device := o.Config.Device
	if device == "" {
		var err error
		if device, err = network.Device(); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Dir(o.PinDir), 0o700); err != nil {
		return nil, fmt.Errorf("make pin folder: %w", err)
	}
	a := &Agent{options: o, device: device, cluster: NewCluster(o.Config), objects: objects{}, full: map[string]int{}}
	g, err := a.readGround()
	if err != nil {
		return nil, err
	}
	if err := a.load(g); err != nil {
		return nil, err
	}
	if err := a.speak(); err != nil {
		return nil, errors.Join(err, a.path.Close())
	}
	a.checks = health.New(o.Log, health.Options{Healthy: func() bool { return a.status.serves() && !a.ending.Load() }})
	a.healthz = a.serveHealthz()
	a.problems = newReporter(o)
	return a, nil
}

// Close ends the agent's part. What is pinned forwards on.
func (a *Agent) Close() error {
	a.problems.close()
	errs := []error{a.checks.Close(), a.path.Close()}
	if a.speaker != nil {
		errs = append(errs, a.speaker.Close())
	}
	if a.healthz != nil {
		errs = append(errs, a.healthz.Close())
	}
	return errors.Join(errs...)
}

// Run takes events until ctx ends; then it lets health checks fail for as long as the configuration says, so that load balancers
// in front send clients elsewhere, lets other nodes announce VIPs, and still takes events. It ends with an error when the node's
// device or address has changed in a way that it can't follow (see follow).
func (a *Agent) Run(ctx context.Context) error {
	if err := a.refuseUnknown(); err != nil {
		return err
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	changes, err := network.Changes(watching)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(resync)
	defer ticker.Stop()
	done := ctx.Done()
	var drained <-chan time.Time
	for {
		select {
		case <-done:
			a.ending.Store(true)
			a.options.Log.Info("ending: health checks fail from now on", "for", a.options.Config.Drain())
			a.log(a.leave())
			done, drained = nil, time.After(a.options.Config.Drain())
		case <-drained:
			return nil
		case e := <-a.options.Events:
			a.log(a.take(e))
		case _, ok := <-changes:
			if !ok { // some were missed
				if changes, err = network.Changes(watching); err != nil {
					return err
				}
			}
			if err := a.follow(false); err != nil {
				return err
			}
		case <-ticker.C:
			if err := a.follow(true); err != nil {
				return err
			}
		}
	}
}

// log says what went wrong; the next event or resync tries again.
func (a *Agent) log(err error) {
	if err != nil {
		a.options.Log.Error("sync", "error", err)
	}
}

// refuseUnknown keeps packets to addresses that no one has in the node, before anything is known of the cluster. An agent that ran
// before has left more routes than that, which stay.
func (a *Agent) refuseUnknown() error {
	if !a.options.Config.PodNetwork.Enabled {
		return nil
	}
	return network.Refuse(slices.Concat(a.options.Config.PodNetwork.CIDRs, a.options.Config.ServiceCIDRs))
}

// take takes an event and those that come right after it, and changes what follows.
func (a *Agent) take(e Event) error {
	timer := time.NewTimer(settle)
	defer timer.Stop()
	var changes []services.Change
	whole := false
	for more := true; more; {
		a.objects.take(e)
		c, nodes := a.cluster.Take(e)
		whole = whole || nodes
		changes = append(changes, c...)
		if e.Synced && !a.synced {
			a.synced, whole = true, true
		}
		select {
		case e = <-a.options.Events:
		case <-timer.C:
			more = false
		}
	}
	if !a.synced {
		return nil // half of the objects would take from the data path what is right
	}
	if whole {
		return a.follow(true)
	}
	for _, change := range changes {
		result, err := a.path.Update(change.Service, change.Tables)
		if err != nil {
			return errors.Join(err, a.follow(true))
		}
		a.refused = result.Refused
	}
	if len(changes) == 0 {
		return nil
	}
	a.report()
	tables := a.cluster.Tables()
	return errors.Join(a.checks.Sync(tables, a.options.Node), a.announce(tables))
}
