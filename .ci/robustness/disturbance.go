package main

import (
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// disturbance is what competes with a lab for the machine while it runs.
type disturbance struct {
	name string
	// loops are busy loops of normal priority.
	loops int
	// oneCPU leaves the lab, and what it starts, only CPU 0.
	oneCPU bool
}

func defaultDisturbances() []string { return []string{"none", "busy-1", "busy-all", "one-cpu"} }

// maxLoops is far more than any machine needs to be busy.
const maxLoops = 1024

func parseDisturbance(name string) (disturbance, error) {
	switch name {
	case "none":
		return disturbance{name: name}, nil
	case "one-cpu":
		return disturbance{name: name, oneCPU: true}, nil
	case "busy-all":
		return disturbance{name: name, loops: runtime.NumCPU()}, nil
	}
	if count, ok := strings.CutPrefix(name, "busy-"); ok {
		if loops, err := strconv.Atoi(count); err == nil && loops >= 1 && loops <= maxLoops {
			return disturbance{name: name, loops: loops}, nil
		}
	}
	return disturbance{}, fmt.Errorf("unknown disturbance %q (want none, busy-N, busy-all or one-cpu)", name)
}

// spin starts busy loops, and returns what stops them. They are threads of this process: however it ends, they end with it.
func spin(loops int) (stop func()) {
	before := runtime.GOMAXPROCS(loops + runtime.NumCPU()) // so that this program itself goes on beside them
	var stopped atomic.Bool
	var running sync.WaitGroup
	for range loops {
		running.Go(func() {
			for !stopped.Load() {
			}
		})
	}
	return func() {
		stopped.Store(true)
		running.Wait()
		runtime.GOMAXPROCS(before)
	}
}

// start starts a command under the disturbance's limit of CPUs.
func (d disturbance) start(cmd *exec.Cmd) error {
	if !d.oneCPU {
		return cmd.Start()
	}
	runtime.LockOSThread() // what is started inherits the CPUs of the thread that starts it
	defer runtime.UnlockOSThread()
	var before, first unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("read allowed CPUs: %w", err)
	}
	first.Set(0)
	if err := unix.SchedSetaffinity(0, &first); err != nil {
		return fmt.Errorf("allow only CPU 0: %w", err)
	}
	err := cmd.Start()
	if restoreErr := unix.SchedSetaffinity(0, &before); restoreErr != nil {
		runtime.LockOSThread() // never unlocked: the thread ends with its goroutine, and nothing else runs on it
	}
	return err
}
