// Package proc reads what identifies a process. Process IDs are used again; an ID together with a start time is not.
package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Process is what identifies a process, and its state.
type Process struct {
	State byte
	Start uint64 // clock ticks since boot
}

// Read reads proc_pid_stat(5): field 3 is the state, 22 the start time.
func Read(pid int) (Process, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Process{}, err
	}
	end := bytes.LastIndexByte(stat, ')') // the name before it may hold anything
	fields := strings.Fields(string(stat[end+1:]))
	if end < 0 || len(fields) < 20 {
		return Process{}, errors.New("unreadable /proc stat")
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	return Process{State: fields[0][0], Start: start}, err
}

// Ended reports whether the process is a zombie, which only waits to be reaped.
func (p Process) Ended() bool { return p.State == 'Z' || p.State == 'X' }

// Stopped reports whether a signal has stopped the process, or a debugger.
func (p Process) Stopped() bool { return p.State == 'T' || p.State == 't' }

// IsRunning reports whether the process that has this ID now began at start, and has not ended.
func IsRunning(pid int, start uint64) bool {
	p, err := Read(pid)
	return err == nil && p.Start == start && !p.Ended()
}
