package netns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/internal/words"
	"github.com/dsrlab/dsrlab/topologies/proc"
)

const (
	termTimeout = 2 * time.Second // for processes to end by themselves
	killTimeout = time.Minute     // for the kernel to be done with them
)

// processSet are the processes that belong to a network.
type processSet struct {
	recorded   map[int]uint64  // process number to start time
	namespaces map[uint64]bool // inodes
	// variables are those of their environment that only the network's programs have, each with its value; see record.variables.
	variables []string
}

// endProcesses ends those that the journal names, all that live in the network's namespaces, however they came there, and all that have one
// of the variables in their environment.
func endProcesses(ctx context.Context, recorded []entry, namespaces, variables []string) error {
	in := processSet{recorded: startTimes(recorded), namespaces: make(map[uint64]bool), variables: variables}
	for _, name := range namespaces {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(namespaceDir, name), &st); err != nil {
			return fmt.Errorf("look into namespace %s: %w", name, err)
		}
		in.namespaces[st.Ino] = true
	}
	for _, attempt := range []struct {
		signal  unix.Signal
		timeout time.Duration
	}{{unix.SIGTERM, termTimeout}, {unix.SIGKILL, killTimeout}} {
		for _, pid := range in.running() {
			in.signal(pid, attempt.signal)
		}
		if waitUntil(ctx, attempt.timeout, func() bool { return len(in.running()) == 0 }) {
			return nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(fmt.Errorf("processes do not end: %s", words.List(in.running())), context.Cause(ctx))
}

// startTimes are the start times of the journal's processes, by process ID.
func startTimes(entries []entry) map[int]uint64 {
	all := make(map[int]uint64)
	for _, e := range entries {
		all[e.PID] = e.Start
	}
	return all
}

// running are those that still run; never this process.
func (in processSet) running() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && in.contains(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// contains reports whether a process is one of them, and has not ended yet.
func (in processSet) contains(pid int) bool {
	if pid == os.Getpid() {
		return false
	}
	if recorded, ok := in.recorded[pid]; ok {
		if proc.IsRunning(pid, recorded) {
			return true
		}
	}
	return in.hasVariable(pid) || in.livesInside(pid)
}

// hasVariable reports whether a process was started with one of the variables.
func (in processSet) hasVariable(pid int) bool {
	if len(in.variables) == 0 {
		return false
	}
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && slices.ContainsFunc(bytes.Split(environment, []byte{0}), func(v []byte) bool { return slices.Contains(in.variables, string(v)) })
}

// livesInside reports whether a process is in one of the namespaces with all its threads. One that has others elsewhere only looks in, as
// our own commands do: it is not the network's.
func (in processSet) livesInside(pid int) bool {
	var st unix.Stat_t
	if unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &st) != nil || !in.namespaces[st.Ino] {
		return false // gone once it has ended
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return false
	}
	for _, thread := range threads {
		var of unix.Stat_t
		if unix.Stat(fmt.Sprintf("/proc/%d/task/%s/ns/net", pid, thread.Name()), &of) == nil && of.Ino != st.Ino {
			return false
		}
	}
	return true
}

// signal sends a signal to a process if it is still one of them. By its pidfd it can't become another one meanwhile.
func (in processSet) signal(pid int, s unix.Signal) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // it has ended
	}
	defer unix.Close(fd)
	if in.contains(pid) {
		_ = unix.PidfdSendSignal(fd, s, nil, 0) // it may have ended meanwhile
	}
}
