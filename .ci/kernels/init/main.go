// Command init is the first and only program of the virtual machine: it prepares the machine as a small system would be, runs
// the test binaries and the demo that the plan names, says on a serial port what came of it, and powers off.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/.ci/kernels/guest"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "init: runs as the first process of a virtual machine only: it mounts, loads modules and powers off")
		os.Exit(2)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "init:", err) // the kernel's console
	}
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Fprintln(os.Stderr, "init: power off:", err) // and by ending the kernel panics, which ends the machine, too
	}
}

// run does what the plan asks. What goes wrong once the port is open is told there, too.
func run() error {
	if err := mountAll(); err != nil {
		return err
	}
	port, err := openPort()
	if err != nil {
		return err
	}
	defer port.Close()
	err = carryOut(port)
	if err != nil {
		err = errors.Join(err, guest.Mark{Error: err.Error()}.Write(port))
	}
	// Until the last byte has left: power is cut next.
	return errors.Join(err, unix.IoctlSetInt(int(port.Fd()), unix.TCSBRK, 1))
}

func mountAll() error {
	for _, m := range []struct{ kind, target string }{
		{"proc", "/proc"},
		{"sysfs", "/sys"},
		{"devtmpfs", "/dev"},
		{"tmpfs", "/tmp"},
		{"tmpfs", "/run"},
		{"bpf", "/sys/fs/bpf"},
		{"cgroup2", "/sys/fs/cgroup"},
	} {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.target, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s at %s: %w", m.kind, m.target, err)
		}
	}
	return nil
}

// openPort opens the port so that bytes leave it as they are: no carriage returns.
func openPort() (*os.File, error) {
	port, err := os.OpenFile(guest.Port, os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	settings, err := unix.IoctlGetTermios(int(port.Fd()), unix.TCGETS)
	if err == nil {
		settings.Oflag &^= unix.OPOST
		err = unix.IoctlSetTermios(int(port.Fd()), unix.TCSETS, settings)
	}
	if err != nil {
		port.Close()
		return nil, fmt.Errorf("set up %s: %w", guest.Port, err)
	}
	return port, nil
}

func carryOut(port *os.File) error {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return fmt.Errorf("read kernel release: %w", err)
	}
	if err := (guest.Mark{Release: unix.ByteSliceToString(name.Release[:])}).Write(port); err != nil {
		return err
	}
	text, err := os.ReadFile(guest.PlanFile)
	if err != nil {
		return err
	}
	var plan guest.Plan
	if err := json.Unmarshal(text, &plan); err != nil {
		return fmt.Errorf("parse %s: %w", guest.PlanFile, err)
	}
	for _, file := range plan.Modules {
		if err := load(file); err != nil {
			return err
		}
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring up lo: %w", err)
	}
	for _, test := range plan.Tests {
		if err := runTest(test, plan.Arguments, port); err != nil {
			return err
		}
	}
	if plan.Demo != nil {
		return runDemo(*plan.Demo, port)
	}
	return nil
}

// load loads a module whose dependencies are loaded.
func load(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load %s: %w", file, err)
	}
	return nil
}

// runTest runs a test binary. That its tests fail is no error.
func runTest(test guest.Test, arguments []string, port *os.File) error {
	if err := (guest.Mark{Begin: test.Package}).Write(port); err != nil {
		return err
	}
	if err := os.MkdirAll(test.Folder, 0o755); err != nil {
		return err
	}
	cmd := exec.Command(test.Binary, arguments...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = test.Folder, port, port
	cmd.Env = environment()
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("run tests of %s: %w", test.Package, err)
	}
	return guest.Mark{End: test.Package, Status: cmd.ProcessState.ExitCode()}.Write(port)
}

// interruptible is how long a demo that is out of time has to take down what it built.
const interruptible = 30 * time.Second

// runDemo runs the demo. That it fails is no error.
func runDemo(demo guest.Demo, port *os.File) error {
	if err := (guest.Mark{Begin: demo.Name}).Write(port); err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(context.Background(), demo.Timeout)
	defer stop()
	var result bytes.Buffer
	cmd := exec.CommandContext(ctx, demo.Command[0], demo.Command[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = interruptible
	// By a pipe: the port is a terminal, to which the demo would write for a person.
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Env = "/tmp", &result, struct{ io.Writer }{port}, environment()
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return fmt.Errorf("run %s: %w", demo.Name, err)
	}
	if ctx.Err() != nil {
		fmt.Fprintf(port, "\nnot done within %s\n", demo.Timeout)
	}
	return guest.Mark{End: demo.Name, Status: cmd.ProcessState.ExitCode(), Result: result.String()}.Write(port)
}

func environment() []string {
	return []string{"HOME=/tmp", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR=/tmp"}
}
