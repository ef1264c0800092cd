package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	vishvananda "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// foreignTestbed is the name of a testbed of which there is only a folder, and namespaces of others that have its name. It is this
// process's own: what a campaign that was killed leaves is not in the way of the next one.
func foreignTestbed() string { return fmt.Sprint("foreign-", os.Getpid()) }

// foreign are namespaces that someone else has made. Each has a name that a testbed's could have.
type foreign struct {
	marks  map[string]string // by names: what the alias of the namespace's lo says
	inodes map[string]uint64
}

// makeForeign makes one namespace that is marked as another network's, and one without a mark.
func makeForeign() (*foreign, error) {
	f := &foreign{
		marks: map[string]string{
			"dsrlab-" + foreignTestbed() + "-lb":     "dsrlab:ffffffff:lb:/elsewhere",
			"dsrlab-" + foreignTestbed() + "-client": "",
		},
		inodes: make(map[string]uint64),
	}
	for name := range f.marks {
		if err := f.create(name); err != nil {
			return nil, errors.Join(err, f.remove())
		}
	}
	return f, nil
}

// create makes a namespace.
func (f *foreign) create(name string) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread, which is in the namespace from now on, ends with the goroutine
		done <- func() error {
			ns, err := vishvananda.NewNamed(name)
			if err != nil {
				return fmt.Errorf("make namespace %s: %w", name, err)
			}
			defer ns.Close()
			lo, err := netlink.LinkByName("lo")
			if err != nil || f.marks[name] == "" {
				return err
			}
			return netlink.LinkSetAlias(lo, f.marks[name])
		}()
	}()
	if err := <-done; err != nil {
		return err
	}
	f.inodes[name] = inodeOf(name)
	return nil
}

// inodeOf is that of a named namespace; 0 if there is none.
func inodeOf(name string) uint64 {
	var s unix.Stat_t
	if unix.Stat(filepath.Join(namespaceDir, name), &s) != nil {
		return 0
	}
	return s.Ino
}

// gone are those that are not what they were. They are made again.
func (f *foreign) gone() (names []string, err error) {
	for name := range f.marks {
		if inodeOf(name) == f.inodes[name] {
			continue
		}
		names = append(names, name)
		_ = os.Remove(filepath.Join(namespaceDir, name)) // what is left of it, if anything is
		err = errors.Join(err, f.create(name))
	}
	return names, err
}

func (f *foreign) remove() error {
	var errs []error
	for name := range f.inodes {
		errs = append(errs, vishvananda.DeleteNamed(name))
	}
	return errors.Join(errs...)
}

// tempt puts a folder into the state folder as a testbed has it whose journal is lost: `down` looks for its namespaces by their marks then.
func tempt(state string) error {
	return os.MkdirAll(filepath.Join(state, foreignTestbed(), "logs"), 0o755)
}

func (c *crash) foreignOutcome() outcome {
	return outcome{
		Case: "namespaces of others that have the name of a testbed's", Tried: c.checks, Unit: "times `down --all`", Failed: c.foreignFailures,
		Seen: "nothing: they stay", Why: "what is removed has the testbed's mark; a name is not enough",
	}
}
