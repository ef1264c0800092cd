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
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	termTimeout = 2 * time.Second // for processes to end by themselves
	killTimeout = 5 * time.Second // for the kernel to be done with them
)

// processSet are the processes that belong to a network.
type processSet struct {
	recorded   map[int]uint64  // process number to start time
	namespaces map[uint64]bool // inodes
	// mark is the variable of the network's programs, for networks with namespaces in which others live, too; empty: it is not looked for.
	mark []byte
}

// endProcesses ends those that the journal names, all that live in the network's namespaces, however they came there, and, if marked is a
// network's ID, all that were started for it in external namespaces.
func endProcesses(ctx context.Context, recorded []entry, namespaces []string, marked string) error {
	in := processSet{recorded: startTimes(recorded), namespaces: make(map[uint64]bool)}
	if marked != "" {
		in.mark = []byte(NetworkVariable + "=" + marked)
	}
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
	return errors.Join(fmt.Errorf("processes %v do not end", in.running()), ctx.Err())
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
		p, err := readProcess(pid)
		if err == nil && p.start == recorded && !p.ended() {
			return true
		}
	}
	if len(in.mark) > 0 {
		environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err == nil && slices.ContainsFunc(bytes.Split(environment, []byte{0}), func(v []byte) bool { return bytes.Equal(v, in.mark) }) {
			return true
		}
	}
	var st unix.Stat_t
	return unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &st) == nil && in.namespaces[st.Ino] // gone once it has ended
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

// process is what identifies a process, and its state.
type process struct {
	state byte
	start uint64 // clock ticks since boot
}

// ended: it is a zombie, and only waits to be reaped.
func (p process) ended() bool { return p.state == 'Z' || p.state == 'X' }

// readProcess reads proc_pid_stat(5): field 3 is the state, 22 the start time.
func readProcess(pid int) (process, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	end := bytes.LastIndexByte(stat, ')') // the name before it may hold anything
	fields := strings.Fields(string(stat[end+1:]))
	if end < 0 || len(fields) < 20 {
		return process{}, errors.New("unreadable /proc stat")
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	return process{state: fields[0][0], start: start}, err
}
