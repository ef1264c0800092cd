package netns

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies/lockfile"
	"github.com/dsrlab/dsrlab/topologies/rtnl"
)

const pollEvery = 2 * time.Millisecond

// Down removes a network, whatever its state: it goes by the journal, and by the network's marks on what it finds; see readRecord. With no
// network of this name it does nothing. It returns when processes, links, names, mounts and BPF programs are gone; the namespaces, empty
// by then, the kernel frees when it gets to it.
//
// External nodes are removed by their provider; nodes may be nil for a network that has none. If another process has the network's lock
// the error is a *lockfile.HeldError.
func Down(ctx context.Context, stateDir, name string, nodes NodeProvider) error {
	return DownWaiting(ctx, stateDir, name, nodes, nil)
}

// DownWaiting is Down, but waits for another process that has the network's lock.
func DownWaiting(ctx context.Context, stateDir, name string, nodes NodeProvider, waiting lockfile.Waiting) error {
	if err := checkName(name); err != nil {
		return err
	}
	if !exists(filepath.Join(stateDir, name)) && !exists(lockPath(stateDir, name)) {
		marked, err := markedNamespaces(stateDir, name, nil)
		if err != nil || len(marked) == 0 {
			return err
		}
	}
	held, err := Acquire(ctx, stateDir, name, waiting)
	if err != nil {
		return err
	}
	defer held.Release()
	return down(ctx, stateDir, name, nodes)
}

// Down removes the network. If Up was given its lock, that must still be held.
func (nw *Network) Down(ctx context.Context, nodes NodeProvider) error {
	if !nw.lock.isHeld() {
		return Down(ctx, nw.stateDir, nw.name, nodes)
	}
	return down(ctx, nw.stateDir, nw.name, nodes)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// down is Down for who holds the lock.
func down(ctx context.Context, stateDir, name string, nodes NodeProvider) error {
	nw := &Network{stateDir: stateDir, name: name}
	nw.journal = journalOf(nw.Dir())
	r, err := nw.readRecord()
	if err != nil {
		return fmt.Errorf("take down %s: %w", name, err)
	}
	var errs []error
	if !r.earlierBoot { // nothing but files outlives the kernel that made it
		errs = append(errs, r.remove(ctx, namespaceName(name, Fabric)))
	}
	errs = append(errs, r.removeResources(ctx, nw, nodes)) // but containers do
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("take down %s: %w", name, err)
	}
	return nw.removeDir()
}

// removeResources has the node provider remove what it made.
func (r *record) removeResources(ctx context.Context, nw *Network, nodes NodeProvider) error {
	if nodes != nil && (r.damaged || r.lost && exists(nw.requestedPath())) {
		found, err := nodes.Find(ctx, nw.name, nw.Dir(), slices.Collect(maps.Keys(r.owner.ids)))
		if err != nil && exists(nw.requestedPath()) { // else it may never have had any
			return err
		}
		r.resources = append(r.resources, found...)
	}
	if len(r.resources) == 0 {
		return nil
	}
	if nodes == nil {
		return errors.New("it has external nodes, and no node provider to remove them")
	}
	return nodes.Remove(ctx, nw.Dir(), r.resources, r.earlierBoot)
}

// remove removes all that is in namespaces; fabric is the name of that with the wires.
func (r *record) remove(ctx context.Context, fabric string) error {
	named, err := r.namespacesByOwnership()
	if err != nil {
		return err
	}
	if err := endProcesses(ctx, r.processes, named[owned], r.variables()); err != nil {
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

// namespacesByOwnership sorts the record's namespaces by whose they are, now.
func (r *record) namespacesByOwnership() (map[ownership][]string, error) {
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

// removeLinks removes all links of the network that are in a namespace, and their peers elsewhere, and the filters of lo, which can't be
// removed. When it returns, they are gone.
func removeLinks(namespace string) error {
	conn, err := dialAt(filepath.Join(namespaceDir, namespace))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.RemoveGroup(linkGroup); err != nil {
		return fmt.Errorf("namespace %s: %w", namespace, err)
	}
	if err := removeFilters(conn, "lo"); err != nil {
		return fmt.Errorf("namespace %s: %w", namespace, err)
	}
	return nil
}

// removeFilters removes the filters of a link's clsact qdisc, with the qdisc. What holds the namespace would hold their programs: after
// the last name is gone it may still be a TCP socket that was closed with data in flight, and sends it again for minutes
// (tcp_orphan_retries, Documentation/networking/ip-sysctl.rst).
func removeFilters(conn *rtnl.Conn, link string) error {
	found, err := conn.LinkByName(link)
	if err != nil {
		return fmt.Errorf("find %s: %w", link, err)
	}
	qdiscs, err := conn.QdiscList(found)
	if err != nil {
		return fmt.Errorf("list the qdiscs of %s: %w", link, err)
	}
	for _, q := range qdiscs {
		if q.Type() != "clsact" {
			continue
		}
		if err := conn.QdiscDel(q); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) { // gone meanwhile
			return fmt.Errorf("remove the filters of %s: %w", link, err)
		}
	}
	return nil
}

// removeDir removes the network's folder, its journal last: until then Down can be tried again. Of a folder that nothing shows to be a
// network's only what networks have is removed.
func (nw *Network) removeDir() error {
	mine := nw.ownsDir()
	info, err := os.Lstat(nw.Dir())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil && !info.IsDir() {
		return fmt.Errorf("%s is kept: no testbed has made it, as it is no folder", nw.Dir())
	}
	entries, err := os.ReadDir(nw.Dir())
	if err != nil {
		return fmt.Errorf("forget %s: %w", nw.name, err)
	}
	var foreign []string
	for _, e := range entries {
		switch path := filepath.Join(nw.Dir(), e.Name()); {
		case path == nw.journal.path:
		case mine || isPartOfNetwork(e.Name()):
			err = errors.Join(err, os.RemoveAll(path))
		default:
			foreign = append(foreign, e.Name())
		}
	}
	if err != nil {
		return fmt.Errorf("forget %s: %w", nw.name, err)
	}
	if len(foreign) > 0 {
		return fmt.Errorf("%s has no journal, and is kept for what no testbed has: %s", nw.Dir(), strings.Join(foreign, ", "))
	}
	return errors.Join(os.RemoveAll(nw.journal.path), os.Remove(nw.Dir()))
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
