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
)

// Options say where and how a lab is built.
type Options struct {
	StateDir string // default DefaultStateDir
	Name     string // default the plan's
	// Recreate takes down what stands under this name if it was built from another topology.
	Recreate bool
	Log      *slog.Logger
	// OnStep is told each step right before it is taken.
	OnStep func(step string)
}

// DiffersError says that a lab of this name stands, built from another topology.
type DiffersError struct {
	Name        string
	Differences []string
}

func (e *DiffersError) Error() string {
	return fmt.Sprintf("lab %s stands, but differs from this topology: %s; --recreate builds it anew", e.Name, strings.Join(e.Differences, "; "))
}

// OccupiedError says that a namespace that the lab would make is there, and is not the lab's.
type OccupiedError struct{ Namespace string }

func (e *OccupiedError) Error() string {
	return fmt.Sprintf("network namespace %s exists and is not this lab's: remove it with `ip netns delete %[1]s`, or choose another --name", e.Namespace)
}

// labName is what a lab may be called: namespaces, files and links bear the name.
func checkName(name string) error {
	if ok, _ := regexp.MatchString(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`, name); !ok {
		return fmt.Errorf("lab name %q: use 1 to 32 lower-case letters, digits and hyphens", name)
	}
	return nil
}

// Up builds the plan, or finds it standing. What an earlier Up left half built is taken down first; if this one fails, or ctx
// ends, nothing is left either.
func Up(ctx context.Context, plan *topologies.Plan, o Options) (*Lab, error) {
	if o.StateDir == "" {
		o.StateDir = DefaultStateDir
	}
	if o.Name == "" {
		o.Name = plan.Name
	}
	if o.OnStep == nil {
		o.OnStep = func(string) {}
	}
	if err := checkName(o.Name); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, &MissingError{Feature: "root", How: "run it with sudo: network namespaces and BPF programs are made"}
	}
	held, err := lock(o.StateDir, o.Name)
	if err != nil {
		return nil, err
	}
	defer held.Close()
	if lab, err := existing(ctx, plan, o); lab != nil || err != nil {
		return lab, err
	}
	l := &Lab{stateDir: o.StateDir, name: o.Name, id: newID(), plan: plan}
	l.journal = journalOf(l.Dir())
	if err := l.checkFree(); err != nil {
		return nil, err
	}
	if err := l.build(ctx, o.OnStep); err != nil {
		return nil, errors.Join(fmt.Errorf("build %s: %w", o.Name, err), down(context.WithoutCancel(ctx), o.StateDir, o.Name))
	}
	return l, nil
}

// existing is what stands under the name, if that is this plan. What is half built, or differs and may be replaced, is taken
// down.
func existing(ctx context.Context, plan *topologies.Plan, o Options) (*Lab, error) {
	lab, err := Open(o.StateDir, o.Name)
	switch {
	case errors.Is(err, ErrNoLab):
		return nil, down(ctx, o.StateDir, o.Name)
	case err != nil:
		return nil, err
	case lab.plan.Hash == plan.Hash:
		lab.existing = true
		return lab, nil
	case !o.Recreate:
		return nil, &DiffersError{Name: o.Name, Differences: lab.plan.Diff(plan)}
	}
	return nil, down(ctx, o.StateDir, o.Name)
}

// checkFree refuses names that are someone else's.
func (l *Lab) checkFree() error {
	var errs []error
	for _, place := range l.Places() {
		name := namespaceName(l.name, place)
		if _, err := os.Lstat(filepath.Join(namespaceDir, name)); err == nil {
			errs = append(errs, &OccupiedError{Namespace: name})
		}
	}
	return errors.Join(errs...)
}

// build makes everything, in the order in which it costs least: links while they are down, bridges up last.
func (l *Lab) build(ctx context.Context, onStep func(string)) error {
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"journal", l.begin},
		{"namespaces", l.makeNamespaces},
		{"bpffs", l.mountBPF},
		{"wires", l.makeWires},
		{"nodes", l.configureNodes},
		{"pods", l.makePods},
		{"fabric", l.configureFabric},
		{"shaping", l.shapeWires},
		{"bridges", l.raiseBridges},
		{"complete", func() error { return l.journal.add(entry{Kind: "complete"}) }},
	} {
		if err := ctx.Err(); err != nil {
			return err
		}
		onStep(step.name)
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

func (l *Lab) begin() error {
	if err := os.MkdirAll(filepath.Join(l.Dir(), "logs"), 0o755); err != nil {
		return err
	}
	if err := l.journal.add(entry{Kind: "begin", Lab: l.name, ID: l.id, BootID: bootID()}); err != nil {
		return err
	}
	document, err := json.Marshal(l.plan)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(l.Dir(), "plan.json"), document, 0o644)
}

// mountBPF mounts the lab's own bpffs: that of the host may not be mounted, and pins there would be nobody's.
func (l *Lab) mountBPF() error {
	if err := os.MkdirAll(l.bpfDir(), 0o700); err != nil {
		return err
	}
	if err := l.journal.add(entry{Kind: "mount", Name: l.bpfDir()}); err != nil {
		return err
	}
	if err := unix.Mount("bpf", l.bpfDir(), "bpf", 0, "mode=0700"); err != nil {
		return missing("bpffs", "a kernel with CONFIG_BPF_SYSCALL", err)
	}
	return nil
}

// Open takes hold of a lab that stands. It returns ErrNoLab when there is none, or only half of one.
func Open(stateDir, name string) (*Lab, error) {
	l := &Lab{stateDir: stateDir, name: name}
	l.journal = journalOf(l.Dir())
	entries, err := l.journal.read()
	if err != nil {
		return nil, err
	}
	complete := false
	for _, e := range entries {
		switch e.Kind {
		case "begin":
			l.id = e.ID
			if e.BootID != bootID() {
				return nil, fmt.Errorf("%s: %w: it stood before the machine was started again", name, ErrNoLab)
			}
		case "complete":
			complete = true
		}
	}
	if !complete {
		return nil, fmt.Errorf("%s: %w", name, ErrNoLab)
	}
	document, err := os.ReadFile(filepath.Join(l.Dir(), "plan.json"))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	l.plan = &topologies.Plan{}
	if err := json.Unmarshal(document, l.plan); err != nil {
		return nil, fmt.Errorf("open %s: plan: %w", name, err)
	}
	return l, nil
}
