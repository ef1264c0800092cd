package netns

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dsrlab/dsrlab/topologies/lockfile"
)

// States of a network.
const (
	Running     = "running"
	Incomplete  = "incomplete"                // Up was killed, or is at work
	EarlierBoot = "left from an earlier boot" // only its files are there
	Broken      = "broken"                    // it can't be used, but Down removes it
)

// Status is a network as `status` lists it.
type Status struct {
	Name     string `json:"name"`
	Topology string `json:"topology"`
	State    string `json:"state"`
	Nodes    int    `json:"nodes"`
	Pods     int    `json:"pods"`
	// Reason is why it is broken.
	Reason string `json:"reason,omitempty"`
	// Holder is the process that builds, uses or removes it right now.
	Holder *lockfile.Holder `json:"holder,omitempty"`
}

// BrokenError means that there is a network of this name, and that it can't be used.
type BrokenError struct{ Name, Reason string }

func (e *BrokenError) Error() string {
	return fmt.Sprintf("testbed %s is broken: %s; `dsrlab down --name %[1]s` removes it", e.Name, e.Reason)
}

// List lists all networks of the state folder, sorted by name: also those of which there is nothing but a lock that a killed process has
// left, or namespaces. One that can't be read harms itself only.
func List(stateDir string) ([]Status, error) {
	all := []Status{} // as JSON it is no null
	names, err := foldersOf(stateDir)
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	accounted := make(map[string]bool) // namespaces of networks with a plan
	for _, name := range names {
		all = append(all, statusOf(stateDir, name, accounted))
	}
	for _, name := range orphans(stateDir, names, accounted) {
		all = append(all, Status{Name: name, State: Broken, Reason: "its folder is gone, but not its namespaces"})
	}
	slices.SortFunc(all, func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// foldersOf are the names of networks that a state folder has a folder or a lock of.
func foldersOf(stateDir string) ([]string, error) {
	entries, err := os.ReadDir(stateDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := make(map[string]bool)
	for _, e := range entries {
		name, isLock := strings.CutSuffix(e.Name(), lockSuffix)
		nw := &Network{stateDir: stateDir, name: name}
		nw.journal = journalOf(nw.Dir())
		if checkName(name) == nil && (isLock && e.Type().IsRegular() || e.IsDir() && nw.mayOwnDir()) {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// mayOwnDir reports whether a folder is a network's, or has nothing in it but what networks have.
func (nw *Network) mayOwnDir() bool {
	if nw.ownsDir() {
		return true
	}
	entries, err := os.ReadDir(nw.Dir())
	return err == nil && len(entries) > 0 && !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return !isPartOfNetwork(e.Name()) })
}

// statusOf is the status of one network. It adds the namespaces of its plan to accounted.
func statusOf(stateDir, name string, accounted map[string]bool) Status {
	nw, state, reason := load(stateDir, name)
	s := Status{Name: name, State: state, Reason: reason}
	if h, held := lockfile.HolderOf(lockPath(stateDir, name)); held {
		s.Holder = &h
	}
	if nw != nil {
		s.Topology, s.Nodes, s.Pods = nw.plan.Name, len(nw.plan.Nodes), len(nw.plan.Pods)
		for _, ns := range nw.ownNamespaces() {
			namespace := namespaceName(name, ns)
			accounted[namespace] = true
			if s.State == Running && !exists(filepath.Join(namespaceDir, namespace)) {
				s.State, s.Reason = Broken, fmt.Sprintf("namespace %s is gone", namespace)
			}
		}
	}
	if s.State == "" || s.State == Broken && s.Holder != nil { // that process is just making or removing it
		s.State, s.Reason = Incomplete, ""
	}
	return s
}

// orphans are the names of networks of which there are namespaces but no folder. Without root, none are seen.
func orphans(stateDir string, known []string, accounted map[string]bool) []string {
	if os.Geteuid() != 0 {
		return nil
	}
	folder := stateFolderID(stateDir)
	names := make(map[string]bool)
	_, _ = readMarks(func(namespace string) bool {
		return strings.HasPrefix(namespace, namespacePrefix) && !accounted[namespace]
	}, func(namespace string, m mark) bool {
		name, ok := strings.CutSuffix(strings.TrimPrefix(namespace, namespacePrefix), "-"+m.namespace)
		if ok && m.folder == folder && checkName(name) == nil && !slices.Contains(known, name) {
			names[name] = true
		}
		return false
	})
	return slices.Sorted(maps.Keys(names))
}

// Open opens an existing network. It returns ErrNotFound if there is none, or only an incomplete one, and a *BrokenError if it can't be
// used.
func Open(stateDir, name string) (*Network, error) {
	nw, state, reason := load(stateDir, name)
	switch {
	case state == Broken:
		return nil, &BrokenError{Name: name, Reason: reason}
	case state == "":
		return nil, fmt.Errorf("%s: %w", name, ErrNotFound)
	case state != Running:
		return nil, fmt.Errorf("%s: %w: it is %s", name, ErrNotFound, state)
	}
	return nw, nil
}

// load reads a network's folder. It returns a network only if that is complete, the reason only if it is broken, and no state if there is
// nothing of it.
func load(stateDir, name string) (nw *Network, state, reason string) {
	nw = &Network{stateDir: stateDir, name: name}
	nw.journal = journalOf(nw.Dir())
	if left, err := os.ReadDir(nw.Dir()); len(left) == 0 && (err == nil || errors.Is(err, os.ErrNotExist)) {
		return nil, "", "" // Up makes the folder before the journal
	}
	entries, damage := nw.journal.read()
	state = Incomplete
	for _, e := range entries {
		switch {
		case e.Kind == "begin" && e.BootID != bootID():
			return nil, EarlierBoot, ""
		case e.Kind == "begin":
			nw.id = e.ID
		case e.Kind == "adopted":
			nw.addExternal(ExternalNamespace{Name: e.Name, PID: e.PID, Start: e.Start, PinDir: e.Pins})
		case e.Kind == "complete":
			state = Running
		}
	}
	if damage != "" {
		return nil, Broken, damage
	}
	if state != Running {
		return nil, state, ""
	}
	plan, err := nw.readPlan()
	if err != nil {
		return nil, Broken, fmt.Sprintf("its plan can't be read: %v", err)
	}
	nw.plan = plan
	return nw, Running, ""
}
