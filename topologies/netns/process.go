package netns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Process is a program that runs in a place as long as the lab stands.
type Process struct {
	Name string // of its log
	Argv []string
	Env  []string // beside the caller's
}

// Streams are a foreground program's standard streams; nil is nothing.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// labVariable marks the lab's processes.
const labVariable = "DSRLAB_LAB"

// Start starts a program in the background of a place, in a session of its own, with its output in the lab's logs. It ends with
// the lab.
func (l *Lab) Start(ctx context.Context, place string, p Process) (pid int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	log, err := os.OpenFile(filepath.Join(l.Dir(), "logs", p.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", p.Name, err)
	}
	defer log.Close()
	cmd := exec.Command(p.Argv[0], p.Argv[1:]...)
	cmd.Env = append(append(os.Environ(), p.Env...), labVariable+"="+l.id)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// A program that starts between the fork and this entry is found by its namespace, which only the lab's are in.
	if err := l.Do(place, cmd.Start); err != nil {
		return 0, fmt.Errorf("start %s: %w", p.Name, err)
	}
	start, err := startTime(cmd.Process.Pid)
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", p.Name, err)
	}
	go cmd.Wait() // reaps it if it ends before this process does
	return cmd.Process.Pid, l.journal.add(entry{Kind: "process", Name: p.Name, PID: cmd.Process.Pid, Start: start})
}

// Run runs a program in a place and waits for it. Its exit status comes back as *exec.ExitError.
func (l *Lab) Run(ctx context.Context, place string, argv []string, s Streams) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), labVariable+"="+l.id)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.In, s.Out, s.Err
	if err := l.Do(place, cmd.Start); err != nil {
		return fmt.Errorf("run %s in %s: %w", argv[0], place, err)
	}
	return cmd.Wait()
}

// startTime tells a process from a later one with the same number: clock ticks since boot (proc_pid_stat(5), field 22).
func startTime(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	end := bytes.LastIndexByte(stat, ')') // the name before it may hold anything
	fields := strings.Fields(string(stat[end+1:]))
	if end < 0 || len(fields) < 20 {
		return 0, errors.New("unreadable /proc stat")
	}
	return strconv.ParseUint(fields[19], 10, 64)
}
