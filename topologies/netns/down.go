package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

const (
	termTimeout = 2 * time.Second  // for processes to end by themselves
	killTimeout = 5 * time.Second  // for the kernel to be done with them
	goneTimeout = 10 * time.Second // for BPF programs to go
	pollEvery   = 2 * time.Millisecond
)

// Down takes a lab away, in whatever state it is: it goes by the journal alone. With no lab of this name it does nothing. It
// returns when processes, names, mounts and BPF programs are gone.
func Down(ctx context.Context, stateDir, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(stateDir, name)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	held, err := lock(stateDir, name)
	if err != nil {
		return err
	}
	defer held.Close()
	return down(ctx, stateDir, name)
}

// down is Down for who holds the lock.
func down(ctx context.Context, stateDir, name string) error {
	l := &Lab{stateDir: stateDir, name: name}
	l.journal = journalOf(l.Dir())
	entries, err := l.journal.read()
	if err != nil {
		return err
	}
	var namespaces, mounts []string
	var processes []entry
	for _, e := range entries {
		switch {
		case e.Kind == "begin" && e.BootID != bootID():
			return l.forget() // nothing outlives the kernel that made it
		case e.Kind == "namespace":
			namespaces = append(namespaces, e.Name)
		case e.Kind == "mount":
			mounts = append(mounts, e.Name)
		case e.Kind == "process":
			processes = append(processes, e)
		}
	}
	if err := endProcesses(ctx, processes, namespaces); err != nil {
		return fmt.Errorf("take down %s: %w", name, err)
	}
	var errs []error
	programs, err := pinnedPrograms(mounts)
	errs = append(errs, err)
	for _, mount := range mounts {
		errs = append(errs, unmount(mount))
	}
	for _, namespace := range slices.Backward(namespaces) {
		errs = append(errs, removeNamespace(namespace))
	}
	errs = append(errs, waitGone(ctx, programs))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("take down %s: %w", name, err)
	}
	return l.forget()
}

// forget removes the lab's folder, its journal last: until then Down can be tried again.
func (l *Lab) forget() error {
	entries, err := os.ReadDir(l.Dir())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var errs []error
	for _, e := range entries {
		if path := filepath.Join(l.Dir(), e.Name()); path != l.journal.path {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("forget %s: %w", l.name, err)
	}
	return errors.Join(os.RemoveAll(l.Dir()), removeIfThere(filepath.Join(l.stateDir, l.name+".lock")))
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func unmount(path string) error {
	if !isMounted(path) {
		return nil
	}
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return nil
}

// endProcesses ends those that the journal names and all that live in the lab's namespaces, however they came there.
func endProcesses(ctx context.Context, recorded []entry, namespaces []string) error {
	inodes := make(map[uint64]bool)
	for _, name := range namespaces {
		var st unix.Stat_t
		path := filepath.Join(namespaceDir, name)
		if isMounted(path) && unix.Stat(path, &st) == nil {
			inodes[st.Ino] = true
		}
	}
	for _, attempt := range []struct {
		signal  unix.Signal
		timeout time.Duration
	}{{unix.SIGTERM, termTimeout}, {unix.SIGKILL, killTimeout}} {
		for _, pid := range living(recorded, inodes) {
			_ = unix.Kill(pid, attempt.signal) // it may have ended meanwhile
		}
		if waitUntil(ctx, attempt.timeout, func() bool { return len(living(recorded, inodes)) == 0 }) {
			return nil
		}
	}
	return fmt.Errorf("processes %v do not end", living(recorded, inodes))
}

// living are the recorded processes that still run, and those in the namespaces; never this one.
func living(recorded []entry, namespaces map[uint64]bool) []int {
	var pids []int
	for _, e := range recorded {
		if start, err := startTime(e.PID); err == nil && start == e.Start && !isZombie(e.PID) {
			pids = append(pids, e.PID)
		}
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return pids
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || slices.Contains(pids, pid) {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &st) == nil && namespaces[st.Ino] {
			pids = append(pids, pid)
		}
	}
	return pids
}

// isZombie: it has ended, and only waits to be reaped.
func isZombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X")
}

func waitUntil(ctx context.Context, timeout time.Duration, condition func() bool) bool {
	for deadline := time.Now().Add(timeout); ; {
		if condition() {
			return true
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return false
		}
		time.Sleep(pollEvery)
	}
}

// pinnedPrograms are the ids of all programs that the pins on the lab's bpffs hold, directly or by a link.
func pinnedPrograms(mounts []string) ([]ebpf.ProgramID, error) {
	var ids []ebpf.ProgramID
	for _, mount := range mounts {
		if !isMounted(mount) {
			continue
		}
		err := filepath.WalkDir(mount, func(path string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			if l, err := link.LoadPinnedLink(path, nil); err == nil {
				if info, err := l.Info(); err == nil {
					ids = append(ids, info.Program)
				}
				return l.Close()
			}
			if p, err := ebpf.LoadPinnedProgram(path, nil); err == nil {
				if info, err := p.Info(); err == nil {
					if id, ok := info.ID(); ok {
						ids = append(ids, id)
					}
				}
				return p.Close()
			}
			return nil // a map
		})
		if err != nil {
			return nil, fmt.Errorf("read pins: %w", err)
		}
	}
	return ids, nil
}

// waitGone waits until the kernel has freed the programs, which it does some time after the last pin is gone.
func waitGone(ctx context.Context, programs []ebpf.ProgramID) error {
	left := programs
	gone := waitUntil(ctx, goneTimeout, func() bool {
		left = slices.DeleteFunc(left, func(id ebpf.ProgramID) bool {
			p, err := ebpf.NewProgramFromID(id)
			if err == nil {
				p.Close()
			}
			return errors.Is(err, os.ErrNotExist)
		})
		return len(left) == 0
	})
	if !gone {
		return fmt.Errorf("BPF programs %v are still loaded", left)
	}
	return nil
}

// Status is a lab as `status` lists it.
type Status struct {
	Name     string `json:"name"`
	Topology string `json:"topology"`
	State    string `json:"state"` // standing, or half built
	Nodes    int    `json:"nodes"`
	Pods     int    `json:"pods"`
}

// List lists all labs of the state folder, sorted by name.
func List(stateDir string) ([]Status, error) {
	entries, err := os.ReadDir(stateDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list labs: %w", err)
	}
	var all []Status
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		lab, err := Open(stateDir, e.Name())
		switch {
		case errors.Is(err, ErrNoLab):
			all = append(all, Status{Name: e.Name(), State: "half built"})
		case err != nil:
			return nil, err
		default:
			all = append(all, Status{
				Name: lab.name, Topology: lab.plan.Name, State: "standing", Nodes: len(lab.plan.Nodes), Pods: len(lab.plan.Pods),
			})
		}
	}
	return all, nil
}
