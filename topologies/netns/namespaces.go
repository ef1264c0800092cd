package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies/rtnl"
)

// errLeft means that f neither returned nor panicked.
var errLeft = errors.New("the function ended its goroutine")

// openNamespace opens a file of network namespaces. It is no os.File: the runtime would ask epoll about each.
func openNamespace(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// here is the network namespace of the calling thread.
const here = "/proc/thread-self/ns/net"

// inside runs f on a thread inside a network namespace. The thread goes back to the runtime only if it is back where it was;
// otherwise it dies with its goroutine.
func inside(namespace int, f func() error) error {
	return onThread(func(release func()) error {
		home, err := openNamespace(here)
		if err != nil {
			release()
			return err
		}
		defer unix.Close(home)
		if err := unix.Setns(namespace, unix.CLONE_NEWNET); err != nil {
			release()
			return fmt.Errorf("enter network namespace: %w", err)
		}
		defer func() {
			if unix.Setns(home, unix.CLONE_NEWNET) == nil {
				release()
			}
		}()
		return f()
	})
}

// onThread runs f on a thread of its own, which dies with the goroutine unless f releases it.
func onThread(f func(release func()) error) error {
	done := make(chan error, 1)
	go func() {
		err := errLeft
		defer func() { done <- err }()
		runtime.LockOSThread()
		err = f(runtime.UnlockOSThread)
	}()
	return <-done
}

// newNamespace makes a network namespace of this name, marks it as the network's before it has the name, and leaves the thread
// inside; see onThread.
func newNamespace(name, mark string) (p *namespace, err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("make namespace %s: %w", name, err)
	}
	ns, err := openNamespace(here)
	if err != nil {
		return nil, fmt.Errorf("make namespace %s: %w", name, err)
	}
	conn, err := rtnl.Dial()
	if err != nil {
		unix.Close(ns)
		return nil, fmt.Errorf("make namespace %s: %w", name, err)
	}
	lo := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: loopback, Name: "lo"}}
	if err = conn.Raise(lo, mark); err == nil {
		err = bindName(name)
	}
	if err != nil {
		unix.Close(ns)
		conn.Close()
		return nil, fmt.Errorf("make namespace %s: %w", name, err)
	}
	return &namespace{fd: ns, conn: conn}, nil
}

// bindName names the network namespace of the calling thread.
func bindName(name string) error {
	path := filepath.Join(namespaceDir, name)
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_EXCL|unix.O_RDONLY|unix.O_CLOEXEC, 0o444)
	if err != nil {
		return &os.PathError{Op: "create", Path: path, Err: err}
	}
	unix.Close(fd)
	return unix.Mount(here, path, "none", unix.MS_BIND, "")
}

// removeName takes the namespace's name away; the kernel frees it when nobody is left inside.
func removeName(name string) error {
	path := filepath.Join(namespaceDir, name)
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount namespace %s: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove namespace %s: %w", name, err)
	}
	return nil
}

// setSysctls writes settings of the network namespace that the thread is in. A setting that the kernel doesn't have is passed
// over: without IPv6 there is nothing to set.
func setSysctls(settings map[string]string) error {
	var errs []error
	for name, value := range settings {
		if err := writeSetting("/proc/sys/net/"+name, value); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("set net/%s to %s: %w", name, value, err))
		}
	}
	return errors.Join(errs...)
}

// writeSetting writes to a file of procfs or sysfs, in one piece.
func writeSetting(path, value string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(value))
	return err
}
