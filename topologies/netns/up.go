package netns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/proc"
)

// Options say where and how a network is built.
type Options struct {
	StateDir string // default DefaultStateDir
	Name     string // default the plan's
	// Keep leaves a partially built network in place for inspection; Down removes it.
	Keep bool
	// Recreate removes a network of this name if it was built from another topology.
	Recreate bool
	// Log is told how long each step took (debug) and what was found broken (warn). Default: nothing is logged.
	Log *slog.Logger
	// OnStep is told each step right before it is taken.
	OnStep func(step string)
	// Lock is the network's, held by the caller until it is done with what it builds on the network. Default: Up takes it, and releases it
	// when it returns.
	Lock *Lock
	// Provider makes the LB and pod nodes, with their pods, of a plan whose substrate is not netns.
	Provider NodeProvider
}

// DiffersError means that a network of this name exists, built from another topology.
type DiffersError struct {
	Name        string
	Differences []string
}

func (e *DiffersError) Error() string {
	return fmt.Sprintf("network %s differs from this topology: %s; --recreate builds it anew", e.Name, strings.Join(e.Differences, "; "))
}

// OccupiedError means that a namespace of the network's name exists and is not the network's.
type OccupiedError struct{ Namespace string }

func (e *OccupiedError) Error() string {
	return fmt.Sprintf("network namespace %s exists and is not this network's: remove it with `ip netns delete %[1]s`, or choose another --name", e.Namespace)
}

// checkName checks a network's name: namespaces and files have it in theirs.
func checkName(name string) error {
	if ok, _ := regexp.MatchString(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`, name); !ok {
		return fmt.Errorf("network name %q: use 1 to 32 lower-case letters, digits and hyphens", name)
	}
	return nil
}

// Up builds the plan, or finds it built. What an earlier Up left incomplete is removed first; if this one fails, or ctx
// ends, nothing is left either.
func Up(ctx context.Context, plan *topologies.Plan, o Options) (*Network, error) {
	o = o.withDefaults(plan)
	if err := checkName(o.Name); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, &MissingError{Feature: "root", How: "run it with sudo: network namespaces and BPF programs are made"}
	}
	if o.Lock == nil {
		held, err := Acquire(ctx, o.StateDir, o.Name, nil)
		if err != nil {
			return nil, err
		}
		defer held.Release()
	}
	if nw, err := existing(ctx, plan, o); nw != nil || err != nil {
		return nw, err
	}
	nw := &Network{stateDir: o.StateDir, name: o.Name, id: newID(), plan: plan, lock: o.Lock}
	nw.journal = journalOf(nw.Dir())
	if err := nw.checkFree(); err != nil {
		return nil, err
	}
	if err := nw.build(ctx, o); err != nil {
		if o.Keep {
			return nil, fmt.Errorf("build %s: %w; what is left of it is kept for a look: `dsrlab down --name %[1]s` takes it away", o.Name, err)
		}
		return nil, errors.Join(fmt.Errorf("build %s: %w", o.Name, err), down(context.WithoutCancel(ctx), o.StateDir, o.Name, o.Provider))
	}
	return nw, nil
}

func (o Options) withDefaults(plan *topologies.Plan) Options {
	if o.StateDir == "" {
		o.StateDir = DefaultStateDir
	}
	if o.Name == "" {
		o.Name = plan.Name
	}
	if o.OnStep == nil {
		o.OnStep = func(string) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// existing is the network of the name, if it was built from this plan. What is incomplete or broken, or differs and may be replaced,
// is taken down.
func existing(ctx context.Context, plan *topologies.Plan, o Options) (*Network, error) {
	nw, err := Open(o.StateDir, o.Name)
	var broken *BrokenError
	switch {
	case errors.Is(err, ErrNotFound):
	case errors.As(err, &broken):
		o.Log.Warn("network is broken and built anew", "network", o.Name, "err", broken.Reason)
	case err != nil:
		return nil, err
	case nw.plan.Hash != plan.Hash && !o.Recreate:
		return nil, &DiffersError{Name: o.Name, Differences: nw.requested().Diff(plan)}
	case nw.plan.Hash == plan.Hash:
		if err = nw.checkIntact(); err == nil {
			nw.existing, nw.lock = true, o.Lock
			return nw, nil
		}
		o.Log.Warn("network is broken and built anew", "network", o.Name, "err", err)
	}
	return nil, down(ctx, o.StateDir, o.Name, o.Provider)
}

// checkIntact returns an error for each part of the network that was removed since it was built.
func (nw *Network) checkIntact() error {
	var errs []error
	for _, ns := range nw.ownNamespaces() {
		whose, err := ownerOf(nw.id).of(namespaceName(nw.name, ns))
		switch {
		case err != nil:
			errs = append(errs, err)
		case whose != owned:
			errs = append(errs, fmt.Errorf("namespace %s is gone", namespaceName(nw.name, ns)))
		}
	}
	for ns, a := range nw.external {
		if file, err := a.netNS(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", ns, err))
		} else {
			file.Close()
		}
	}
	if !isBPF(nw.bpfDir()) {
		errs = append(errs, fmt.Errorf("%s is not mounted", nw.bpfDir()))
	}
	return errors.Join(errs...)
}

// checkFree refuses names that are someone else's.
func (nw *Network) checkFree() error {
	var errs []error
	for _, ns := range nw.ownNamespaces() {
		name := namespaceName(nw.name, ns)
		if exists(filepath.Join(namespaceDir, name)) {
			errs = append(errs, &OccupiedError{Namespace: name})
		}
	}
	return errors.Join(errs...)
}

// begin writes the journal's first line before anything else is in the network's folder: by it the folder is the network's.
func (nw *Network) begin() error {
	if err := os.Mkdir(nw.Dir(), 0o755); err != nil {
		return err
	}
	begin := entry{Kind: "begin", Lab: nw.name, ID: nw.id, BootID: bootID(), PID: os.Getpid()}
	if self, err := proc.Read(os.Getpid()); err == nil {
		begin.Start = self.Start
	}
	if err := nw.journal.add(begin); err != nil {
		return err
	}
	document, err := json.Marshal(begin)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(nw.Dir(), ownerFile), document, 0o644), os.Mkdir(filepath.Join(nw.Dir(), logsFolder), 0o755), nw.writePlan())
}

// writePlan stores the plan for Open.
func (nw *Network) writePlan() error {
	document, err := json.Marshal(nw.plan)
	if err != nil {
		return err
	}
	return os.WriteFile(nw.planPath(), document, 0o644)
}

// requestedPath is where the requested plan is stored, for networks with external nodes.
func (nw *Network) requestedPath() string { return filepath.Join(nw.Dir(), requestedFile) }

// requested is the plan as Up was given it, before a provider assigned addresses.
func (nw *Network) requested() *topologies.Plan {
	p := &topologies.Plan{}
	document, err := os.ReadFile(nw.requestedPath())
	if err != nil || json.Unmarshal(document, p) != nil {
		return nw.plan
	}
	return p
}

func (nw *Network) planPath() string { return filepath.Join(nw.Dir(), planFile) }

// mountBPF mounts the network's own bpffs: that of the host may not be mounted, and pins there would be nobody's.
func (nw *Network) mountBPF() error {
	if err := os.MkdirAll(nw.bpfDir(), 0o700); err != nil {
		return err
	}
	if err := nw.journal.add(entry{Kind: "mount", Name: nw.bpfDir()}); err != nil {
		return err
	}
	if err := unix.Mount("bpf", nw.bpfDir(), "bpf", 0, "mode=0700"); err != nil {
		return missing("bpffs", "a kernel with CONFIG_BPF_SYSCALL", err)
	}
	return nil
}
