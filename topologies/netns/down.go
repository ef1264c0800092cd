package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

const pollEvery = 2 * time.Millisecond

// Down removes a network, whatever its state: it goes by the journal, and by the network's mark on what it finds. With no network of
// this name it does nothing. It returns when processes, links, names, mounts and BPF programs are gone; the namespaces, empty by
// then, the kernel frees when it gets to it.
//
// External nodes are removed by their provider; nodes may be nil for a network that has none.
func Down(ctx context.Context, stateDir, name string, nodes NodeProvider) error {
	if err := checkName(name); err != nil {
		return err
	}
	if !exists(filepath.Join(stateDir, name)) && !exists(lockPath(stateDir, name)) {
		return nil
	}
	held, err := takeLock(stateDir, name)
	if err != nil {
		return err
	}
	defer releaseLock(stateDir, held)
	return down(ctx, stateDir, name, nodes)
}

// releaseLock releases the lock. It removes the state folder if that is the default one and empty.
func releaseLock(stateDir string, held *lock) {
	held.unlock()
	if stateDir == DefaultStateDir {
		_ = os.Remove(stateDir) // fails if another lab is there
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// journaled is what the journal names, by kind.
type journaled struct {
	owner                       owner
	namespaces, mounts, folders []string
	processes                   []entry
	resources                   []Resource
	earlierBoot                 bool
}

func readJournaled(j *journal) (*journaled, error) {
	entries, err := j.read()
	if err != nil {
		return nil, err
	}
	r := &journaled{}
	for _, e := range entries {
		switch e.Kind {
		case "begin":
			r.owner.id, r.earlierBoot = e.ID, e.BootID != bootID()
		case "namespace":
			r.namespaces = append(r.namespaces, e.Name)
		case "mount":
			r.mounts = append(r.mounts, e.Name)
		case "folder":
			r.folders = append(r.folders, e.Name)
		case "process":
			r.processes = append(r.processes, e)
		case "owned":
			r.resources = append(r.resources, Resource{Kind: e.What, Name: e.Name, Value: e.Value})
		}
	}
	return r, nil
}

// down is Down for who holds the lock.
func down(ctx context.Context, stateDir, name string, nodes NodeProvider) error {
	nw := &Network{stateDir: stateDir, name: name}
	nw.journal = journalOf(nw.Dir())
	r, err := readJournaled(nw.journal)
	if err != nil {
		return err
	}
	var errs []error
	if !r.earlierBoot { // nothing but files outlives the kernel that made it
		errs = append(errs, r.remove(ctx, namespaceName(name, Fabric)))
	}
	if len(r.resources) > 0 { // but containers do
		errs = append(errs, r.removeResources(ctx, nw.Dir(), nodes))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("take down %s: %w", name, err)
	}
	return nw.removeDir()
}

// removeResources has the node provider remove what it made.
func (r *journaled) removeResources(ctx context.Context, dir string, nodes NodeProvider) error {
	if nodes == nil {
		return errors.New("it has external nodes, and no node provider to remove them")
	}
	return nodes.Remove(ctx, dir, r.resources, r.earlierBoot)
}

// remove removes all that is in namespaces; fabric is the name of that with the wires.
func (r *journaled) remove(ctx context.Context, fabric string) error {
	named, err := r.namespacesByOwnership()
	if err != nil {
		return err
	}
	marked := ""
	if len(r.resources) > 0 {
		marked = r.owner.id
	}
	if err := endProcesses(ctx, r.processes, named[owned], marked); err != nil {
		return err
	}
	var errs []error
	programs, err := pinnedPrograms(r.mounts)
	errs = append(errs, err)
	if slices.Contains(named[owned], fabric) {
		policers, err := policersOf(fabric)
		programs, errs = append(programs, policers...), append(errs, err)
	}
	for _, mount := range r.mounts {
		errs = append(errs, removePins(mount))
	}
	errs = append(errs, removeAllLinks(named[owned]))
	for _, namespace := range slices.Concat(named[owned], named[unbound]) {
		errs = append(errs, removeName(namespace))
	}
	for _, folder := range r.folders {
		_ = os.Remove(folder) // others have put something there: then it is theirs
	}
	return errors.Join(append(errs, waitGone(ctx, programs))...)
}

// namespacesByOwnership sorts the journal's namespaces by whose they are, now.
func (r *journaled) namespacesByOwnership() (map[ownership][]string, error) {
	by := make(map[ownership][]string)
	for _, name := range r.namespaces {
		whose, err := r.owner.of(name)
		if err != nil {
			return nil, err
		}
		by[whose] = append(by[whose], name)
	}
	return by, nil
}

// removers is how many namespaces are cleared at a time: for each the kernel waits until no CPU looks at its links any more, and
// it can wait for many at once.
const removers = 64

func removeAllLinks(namespaces []string) error {
	var group errgroup.Group
	group.SetLimit(removers)
	for _, namespace := range namespaces {
		group.Go(func() error { return removeLinks(namespace) })
	}
	return group.Wait()
}

// removeLinks removes all links of the network that are in a namespace, and their peers elsewhere. When it returns, they are gone.
func removeLinks(namespace string) error {
	conn, err := dialAt(filepath.Join(namespaceDir, namespace))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.RemoveGroup(linkGroup); err != nil {
		return fmt.Errorf("namespace %s: %w", namespace, err)
	}
	return nil
}

// removeDir removes the network's folder, its journal last: until then Down can be tried again. A folder without a journal is only
// removed if it is empty, as Up leaves it when it is killed before it begins; anything else is no network's.
func (nw *Network) removeDir() error {
	if !nw.journal.exists() {
		if err := os.Remove(nw.Dir()); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s is no network's: it has no journal, and isn't empty", nw.Dir())
		}
		return nil
	}
	entries, err := os.ReadDir(nw.Dir())
	if err != nil {
		return fmt.Errorf("forget %s: %w", nw.name, err)
	}
	var errs []error
	for _, e := range entries {
		if path := filepath.Join(nw.Dir(), e.Name()); path != nw.journal.path {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("forget %s: %w", nw.name, err)
	}
	return errors.Join(os.Remove(nw.journal.path), os.Remove(nw.Dir()))
}

// waitUntil looks until the condition holds; it returns false after the timeout, or when ctx ends.
func waitUntil(ctx context.Context, timeout time.Duration, condition func() bool) bool {
	for deadline := time.Now().Add(timeout); ; {
		if condition() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pollEvery):
		}
	}
}
