// Package sandbox keeps a package's tests apart from the host, so that what they leave behind, however they end, goes with them, and
// the next run finds nothing of theirs in its way.
//
// BPF programs have no namespaces: those of others are always there.
package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// variable tells the test binary that it was started here: "enter" the first time, then "inside".
const variable = "DSRLAB_TEST_SANDBOX"

// Main is what TestMain hands to os.Exit. The tests run on a host of their own: in new network, mount and process namespaces. They
// don't see what the tests of other packages do to the host meanwhile. Without root they run where they are, and skip.
func Main(m *testing.M) int {
	return run(m, unix.CLONE_NEWNET|unix.CLONE_NEWNS|unix.CLONE_NEWPID, mountPrivate)
}

// MainNamed is like Main for tests that need the host, its processes and its sockets: they have only the folder of the named network
// namespaces for themselves.
func MainNamed(m *testing.M) int {
	return run(m, unix.CLONE_NEWNS, mountNames)
}

func run(m *testing.M, namespaces uintptr, mount func() error) int {
	if os.Geteuid() != 0 {
		return m.Run()
	}
	switch os.Getenv(variable) {
	case "":
		return again(namespaces)
	case "enter": // and not a test that has started the binary once more
		if err := errors.Join(mount(), os.Setenv(variable, "inside")); err != nil {
			fmt.Fprintln(os.Stderr, "mount in sandbox:", err)
			return 1
		}
	}
	return m.Run()
}

// again runs this very command in namespaces of its own, and passes signals on to it. It dies with this process.
func again(namespaces uintptr) int {
	runtime.LockOSThread() // Pdeathsig means this thread
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), variable+"=enter")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Pdeathsig: unix.SIGKILL}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT)
	err := cmd.Start()
	if err == nil {
		go func() {
			for s := range signals {
				_ = cmd.Process.Signal(s)
			}
		}()
		err = cmd.Wait()
	}
	var status *exec.ExitError
	if errors.As(err, &status) {
		return max(status.ExitCode(), 1) // -1 if a signal has ended it
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "start sandbox:", err)
		return 1
	}
	return 0
}

// mountPrivate gives the namespaces a /proc and a /run of their own, and lets go of the mounts that keep others' namespaces and pins.
func mountPrivate() error {
	if err := keepPrivate(); err != nil {
		return err
	}
	mounts, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		own, device, _ := strings.Cut(line, " - ") // proc_pid_mountinfo(5)
		fields := strings.Fields(own)
		if len(fields) > 4 && (strings.HasPrefix(device, "nsfs ") || strings.HasPrefix(device, "bpf ")) {
			if err := unix.Unmount(fields[4], unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
				return fmt.Errorf("unmount %s: %w", fields[4], err)
			}
		}
	}
	return errors.Join(unix.Mount("proc", "/proc", "proc", 0, ""), unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=0755"))
}

// mountNames covers the folder that ip-netns(8) keeps named network namespaces in with an empty one.
func mountNames() error {
	const folder = "/run/netns"
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return errors.Join(keepPrivate(), unix.Mount("tmpfs", folder, "tmpfs", 0, "mode=0755"))
}

func keepPrivate() error {
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts private: %w", err)
	}
	return nil
}
