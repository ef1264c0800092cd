package netns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/dsrlab/dsrlab/topologies/proc"
)

// Process is a program that runs in a namespace until the network is removed.
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

// NetworkVariable is the environment variable that marks a network's processes, by its ID; Down ends them.
const NetworkVariable = "DSRLAB_LAB"

// folderVariable has the network's folder. Processes are found by it when the network's ID is lost.
const folderVariable = "DSRLAB_FOLDER"

func (nw *Network) folder() string { return filepath.Join(stateFolderID(nw.stateDir), nw.name) }

// environment is that of the network's programs: the caller's, and marks.
func (nw *Network) environment(more ...string) []string {
	return append(append(os.Environ(), more...), NetworkVariable+"="+nw.id, folderVariable+"="+nw.folder())
}

// Start starts a program in the background of a namespace, in a session of its own, with its output in the network's logs. It ends with
// the network.
func (nw *Network) Start(ctx context.Context, ns string, p Process) (pid int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	log, err := os.OpenFile(filepath.Join(nw.Dir(), logsFolder, p.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", p.Name, err)
	}
	defer log.Close()
	cmd := exec.Command(p.Argv[0], p.Argv[1:]...)
	cmd.Env = nw.environment(p.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// A program that starts between the fork and this entry is found by its namespace, which only the network's are in, or in a namespace
	// that others made by its environment.
	if err := nw.Do(ns, cmd.Start); err != nil {
		return 0, fmt.Errorf("start %s: %w", p.Name, err)
	}
	started, err := proc.Read(cmd.Process.Pid) // a zombie at least: it isn't reaped before Wait
	if err == nil {
		err = nw.journal.add(entry{Kind: "process", Name: p.Name, PID: cmd.Process.Pid, Start: started.Start})
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("start %s: %w", p.Name, err), cmd.Process.Kill())
	}
	go func() { _ = cmd.Wait() }() // reaps it if it ends before this process does
	return cmd.Process.Pid, err
}

// runGrace is what a program has, after SIGTERM, to end by itself.
const runGrace = 2 * time.Second

// Run runs a program in a namespace and waits for it. Its exit status comes back as *exec.ExitError. When ctx ends, the program
// gets SIGTERM, and SIGKILL if it doesn't heed it.
func (nw *Network) Run(ctx context.Context, ns string, argv []string, s Streams) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = nw.environment()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.In, s.Out, s.Err
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = runGrace
	if err := nw.Do(ns, cmd.Start); err != nil {
		return fmt.Errorf("run %s in %s: %w", argv[0], ns, err)
	}
	return cmd.Wait()
}

// Stop ends the programs that Start started under this name, and returns when they have ended. It is no error if none runs.
func (nw *Network) Stop(ctx context.Context, name string) error {
	started, err := nw.started(name)
	if err != nil {
		return fmt.Errorf("stop %s: %w", name, err)
	}
	if err := endProcesses(ctx, started, nil, nil); err != nil {
		return fmt.Errorf("stop %s: %w", name, err)
	}
	return nil
}

// IsRunning reports whether a program runs that Start started under this name.
func (nw *Network) IsRunning(name string) bool {
	started, err := nw.started(name)
	return err == nil && len(processSet{recorded: startTimes(started)}.running()) > 0
}

// started is what the journal has of Start under this name.
func (nw *Network) started(name string) ([]entry, error) {
	entries, damage := nw.journal.read()
	var err error
	if damage != "" {
		err = &BrokenError{Name: nw.name, Reason: damage}
	}
	return slices.DeleteFunc(entries, func(e entry) bool { return e.Kind != "process" || e.Name != name }), err
}
