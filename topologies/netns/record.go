package netns

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dsrlab/dsrlab/topologies"
)

// record is what Down knows of a network: what the journal names, by kind, and what was found by its marks.
type record struct {
	owner                       owner
	namespaces, mounts, folders []string
	processes                   []entry
	resources                   []Resource
	earlierBoot                 bool
	// damaged is set where entries of the journal are lost; lost, where it may not name all that the network has.
	damaged, lost bool
	folder        string // as processes have it in their environment
}

// readRecord reads the journal. Where that is lost, cut short or damaged, the network's marks stand in for it:
//
//   - its ID, by which everything else is marked, is in the folder's owner.json, too, and in the marks of its namespaces;
//   - namespaces name network and state folder in the alias of their lo;
//   - the bpffs is always mounted at the same place of the folder;
//   - processes live in the namespaces, or have the folder in their environment;
//   - what a NodeProvider made has marks that the provider knows.
func (nw *Network) readRecord() (*record, error) {
	entries, damage := nw.journal.read()
	r := &record{owner: owner{ids: make(map[string]bool)}, damaged: damage != "", folder: nw.folder()}
	complete := false
	for _, e := range entries {
		switch e.Kind {
		case "begin":
			r.owner.ids[e.ID], r.earlierBoot = true, e.BootID != bootID()
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
		case "complete":
			complete = true
		}
	}
	if e, ok := nw.readOwner(); ok {
		r.owner.ids[e.ID], r.earlierBoot = true, e.BootID != bootID()
	}
	r.lost = r.damaged || !complete
	if r.earlierBoot || !r.lost {
		return r, nil
	}
	if len(r.owner.ids) == 0 {
		r.processes = nil // of an earlier boot, maybe
	}
	return r, nw.addMarked(r)
}

// addMarked adds to a record what bears the network's marks.
func (nw *Network) addMarked(r *record) error {
	r.owner.network, r.owner.folder = nw.name, stateFolderID(nw.stateDir)
	marked, err := markedNamespaces(nw.stateDir, nw.name, r.owner.ids)
	if err != nil {
		return err
	}
	for name, id := range marked {
		r.owner.ids[id] = true
		r.namespaces = append(r.namespaces, name)
	}
	// Of a namespace that was not made to its end there is a file only, without a mark. The plan has its name.
	plan, _ := nw.readPlan()
	for _, ns := range (&Network{plan: plan}).Namespaces() {
		r.namespaces = append(r.namespaces, namespaceName(nw.name, ns))
	}
	r.mounts = append(r.mounts, nw.bpfDir())
	slices.Sort(r.namespaces)
	slices.Sort(r.mounts)
	r.namespaces, r.mounts = slices.Compact(r.namespaces), slices.Compact(r.mounts)
	return nil
}

// markedNamespaces are the namespaces with marks of a network, by their names, with the IDs in the marks. ids are those that are known to be
// the network's.
func markedNamespaces(stateDir, name string, ids map[string]bool) (map[string]string, error) {
	o := owner{ids: ids, network: name, folder: stateFolderID(stateDir)}
	return readMarks(func(other string) bool { return strings.HasPrefix(other, namespaceName(name, "")) }, o.owns)
}

// readMarks reads the marks of named namespaces, and returns the IDs of those that match.
func readMarks(read func(name string) bool, matches func(name string, m mark) bool) (map[string]string, error) {
	entries, err := os.ReadDir(namespaceDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for namespaces: %w", err)
	}
	found := make(map[string]string)
	for _, e := range entries {
		if !read(e.Name()) {
			continue
		}
		m, whose, err := readMark(e.Name())
		if err != nil {
			return nil, err
		}
		if whose == owned && matches(e.Name(), m) {
			found[e.Name()] = m.id
		}
	}
	return found, nil
}

// variables are the environment variables by which processes are known that live elsewhere than in the network's namespaces: in those of
// external nodes, or where their namespace has lost its name.
func (r *record) variables() []string {
	var all []string
	if r.lost || len(r.resources) > 0 {
		for id := range r.owner.ids {
			all = append(all, NetworkVariable+"="+id)
		}
	}
	if r.lost {
		all = append(all, folderVariable+"="+r.folder)
	}
	return all
}

// readOwner reads the file that holds the journal's first entry once more.
func (nw *Network) readOwner() (entry, bool) {
	document, err := readFile(filepath.Join(nw.Dir(), ownerFile))
	var e entry
	return e, err == nil && json.Unmarshal(document, &e) == nil && e.Kind == "begin" && e.ID != ""
}

// readPlan reads the plan that the network was built from. If it can't, it returns an empty one.
func (nw *Network) readPlan() (*topologies.Plan, error) {
	document, err := readFile(nw.planPath())
	if err == nil {
		p := &topologies.Plan{}
		if err = json.Unmarshal(document, p); err == nil && (p.Name == "" || len(p.Nodes) == 0) {
			err = errors.New("it has no nodes")
		}
		if err == nil {
			return p, nil
		}
	}
	return &topologies.Plan{}, err
}

// ownsDir reports whether something shows that the folder of this name is the network's.
func (nw *Network) ownsDir() bool {
	_, signed := nw.readOwner()
	return signed || nw.journal.exists() || isBPF(nw.bpfDir()) || filepath.Clean(nw.stateDir) == DefaultStateDir
}

// isPartOfNetwork reports whether a network's folder has an entry of this name.
func isPartOfNetwork(name string) bool {
	switch name {
	case journalFile, ownerFile, planFile, requestedFile, bpfFolder, logsFolder, traceLock:
		return true
	}
	return false
}
