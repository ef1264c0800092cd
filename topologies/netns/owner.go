package netns

import (
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

// owner distinguishes what is the network's from what only has the same name.
type owner struct{ id string }

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
	path := filepath.Join(namespaceDir, name)
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return absent, nil
	}
	if err != nil {
		return notOwned, err
	}
	if !isMounted(path) {
		if info.Mode().IsRegular() && info.Size() == 0 {
			return unbound, nil
		}
		return notOwned, nil
	}
	conn, err := dialAt(path)
	if errors.Is(err, errNoNetNS) {
		return notOwned, nil
	}
	if err != nil {
		return notOwned, fmt.Errorf("look into namespace %s: %w", name, err)
	}
	defer conn.Close()
	lo, err := conn.LinkByIndex(loopback)
	if err != nil {
		return notOwned, fmt.Errorf("look into namespace %s: %w", name, err)
	}
	if o.id != "" && strings.HasPrefix(lo.Attrs().Alias, markOf(o.id, "")) {
		return owned, nil
	}
	return notOwned, nil
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
