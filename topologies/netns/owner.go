package netns

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies/rtnl"
)

// linkGroup is the group of all links of a network that are no namespace's eth0 (0xd5a1: "dsrl"). With one message the kernel removes
// them all, and their peers.
const linkGroup = 0xd5a1

// loopback is the index of lo in every network namespace (LOOPBACK_IFINDEX, include/net/flow.h).
const loopback = 1

// markOf is what the links of a network carry as their alias.
func markOf(id, what string) string { return "dsrlab:" + id + ":" + what }

// mark is what a namespace of a network carries as the alias of its lo: enough to find the network's namespaces when its journal is lost.
type mark struct {
	id, namespace string
	// folder is the ID of the network's state folder: others may have networks of the same name.
	folder string
}

func (m mark) String() string { return markOf(m.id, m.namespace) + ":" + m.folder }

func parseMark(alias string) (mark, bool) {
	parts := strings.SplitN(alias, ":", 4)
	if len(parts) < 3 || parts[0] != "dsrlab" || parts[1] == "" {
		return mark{}, false
	}
	m := mark{id: parts[1], namespace: parts[2]}
	if len(parts) == 4 {
		m.folder = parts[3]
	}
	return m, true
}

// longestPlace leaves room for the rest of an alias, which has at most 255 bytes (IFALIASZ).
const longestPlace = 160

// stateFolderID is how marks name a state folder: by its path or, if that is long, by a hash of it.
func stateFolderID(stateDir string) string {
	path, err := filepath.Abs(stateDir)
	if err != nil {
		path = stateDir
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if len(path) > longestPlace {
		sum := sha256.Sum256([]byte(path))
		return "sha256:" + hex.EncodeToString(sum[:8])
	}
	return path
}

// owner distinguishes what is the network's from what only has the same name.
type owner struct {
	ids map[string]bool
	// network and folder are set where a namespace may also be recognized by those, for a network whose journal is lost.
	network, folder string
}

// ownerOf recognizes what bears a network's ID.
func ownerOf(id string) owner { return owner{ids: map[string]bool{id: true}} }

// owns reports whether the namespace of this name has a mark of the network's.
func (o owner) owns(name string, m mark) bool {
	return o.ids[m.id] || o.network != "" && o.folder == m.folder && name == namespaceName(o.network, m.namespace)
}

// ownership is whose a name in the namespace folder is.
type ownership int

const (
	absent   ownership = iota
	notOwned           // someone else's
	unbound            // a file that no namespace was bound to: Up was killed between the two
	owned
)

// of looks into the namespace itself: its lo carries the network's mark since before it had a name.
func (o owner) of(name string) (ownership, error) {
	m, whose, err := readMark(name)
	if whose == owned && !o.owns(name, m) {
		whose = notOwned
	}
	return whose, err
}

// readMark reads the mark of a namespace; it is owned if it has one.
func readMark(name string) (mark, ownership, error) {
	path := filepath.Join(namespaceDir, name)
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return mark{}, absent, nil
	}
	if err != nil {
		return mark{}, notOwned, err
	}
	if !isMounted(path) {
		if info.Mode().IsRegular() && info.Size() == 0 {
			return mark{}, unbound, nil
		}
		return mark{}, notOwned, nil
	}
	conn, err := dialAt(path)
	if errors.Is(err, os.ErrNotExist) {
		return mark{}, absent, nil // it has gone since
	}
	if errors.Is(err, errNoNetNS) {
		return mark{}, notOwned, nil
	}
	if err != nil {
		return mark{}, notOwned, fmt.Errorf("look into namespace %s: %w", name, err)
	}
	defer conn.Close()
	lo, err := conn.LinkByIndex(loopback)
	if err != nil {
		return mark{}, notOwned, fmt.Errorf("look into namespace %s: %w", name, err)
	}
	if m, ok := parseMark(lo.Attrs().Alias); ok {
		return m, owned, nil
	}
	return mark{}, notOwned, nil
}

// errNoNetNS means that a file is no network namespace.
var errNoNetNS = errors.New("no network namespace")

// dialAt opens a way into a named network namespace; the caller closes it.
func dialAt(path string) (conn *rtnl.Conn, err error) {
	ns, err := openNamespace(path)
	if err != nil {
		return nil, err
	}
	defer unix.Close(ns)
	if kind, err := unix.IoctlRetInt(ns, unix.NS_GET_NSTYPE); err != nil || kind != unix.CLONE_NEWNET {
		return nil, errNoNetNS
	}
	err = inside(ns, func() (err error) {
		conn, err = rtnl.Dial()
		return err
	})
	return conn, err
}

// isMounted reports whether something is mounted on path.
func isMounted(path string) bool {
	var here, parent unix.Stat_t
	if unix.Stat(path, &here) != nil || unix.Stat(filepath.Dir(path), &parent) != nil {
		return false
	}
	return here.Dev != parent.Dev
}
