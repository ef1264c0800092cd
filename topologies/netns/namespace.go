package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// errLeft says that f neither returned nor panicked.
var errLeft = errors.New("the function ended its goroutine")

// inside runs f on a thread inside a network namespace. The thread goes back to the runtime only if it is back where it was;
// otherwise it dies with its goroutine.
func inside(namespace int, f func() error) error {
	return onThread(func(giveBack func()) error {
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			giveBack()
			return err
		}
		defer home.Close()
		if err := unix.Setns(namespace, unix.CLONE_NEWNET); err != nil {
			giveBack()
			return fmt.Errorf("enter network namespace: %w", err)
		}
		defer func() {
			if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
				giveBack()
			}
		}()
		return f()
	})
}

// onThread runs f on a thread of its own, which dies with the goroutine unless f gives it back.
func onThread(f func(giveBack func()) error) error {
	done := make(chan error, 1)
	go func() {
		err := errLeft
		defer func() { done <- err }()
		runtime.LockOSThread()
		err = f(runtime.UnlockOSThread)
	}()
	return <-done
}

// makeNamespace makes a network namespace of this name, marks it as the lab's before it has the name, and leaves the thread
// inside; see onThread.
func makeNamespace(name, mark string) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make namespace %s: %w", name, err)
	}
	lo := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: loopback, Name: "lo"}}
	if err := raise(lo, mark); err != nil {
		return fmt.Errorf("make namespace %s: %w", name, err)
	}
	path := filepath.Join(namespaceDir, name)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return fmt.Errorf("name namespace: %w", err)
	}
	file.Close()
	if err := unix.Mount("/proc/thread-self/ns/net", path, "none", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("name namespace %s: %w", name, err)
	}
	return nil
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
		err := os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
