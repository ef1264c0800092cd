// Package sandbox runs a package's tests on a host of their own: in new network, mount and process namespaces. They don't see
// what the tests of other packages do to the host meanwhile, and what they leave behind, however they end, goes with them.
//
// BPF programs have no such namespaces: those of others are still there.
package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// variable tells the test binary that it was started here.
const variable = "DSRLAB_TEST_SANDBOX"

// Main is what TestMain hands to os.Exit. Without root the tests run where they are, and skip.
func Main(m *testing.M) int {
	if os.Geteuid() != 0 {
		return m.Run()
	}
	if os.Getenv(variable) == "" {
		return again()
	}
	if os.Getpid() == 1 { // else a test has started the binary once more
		if err := mountPrivate(); err != nil {
			fmt.Fprintln(os.Stderr, "mount in sandbox:", err)
			return 1
		}
	}
	return m.Run()
}

// again runs this very command in namespaces of its own. It dies with this process.
func again() int {
	runtime.LockOSThread() // Pdeathsig means this thread
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), variable+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		Pdeathsig:  unix.SIGKILL,
	}
	err := cmd.Run()
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
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts private: %w", err)
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
