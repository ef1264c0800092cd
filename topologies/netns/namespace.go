package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// inside runs f on a thread inside a network namespace. The thread goes back to the runtime only if it is back where it was;
// otherwise it dies with its goroutine.
func inside(namespace int, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			runtime.UnlockOSThread()
			done <- err
			return
		}
		defer home.Close()
		if err := unix.Setns(namespace, unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("enter network namespace: %w", err)
			return
		}
		err = f()
		if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// onSpoiledThread runs f on a thread of its own, which dies with the goroutine: f may leave it in whatever namespace.
func onSpoiledThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		done <- f()
	}()
	return <-done
}

// makeNamespace makes a network namespace of this name and leaves the thread inside; see onSpoiledThread.
func makeNamespace(name string) error {
	path := filepath.Join(namespaceDir, name)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return err
	}
	file.Close()
	err = unix.Unshare(unix.CLONE_NEWNET)
	if err == nil {
		err = unix.Mount("/proc/thread-self/ns/net", path, "none", unix.MS_BIND, "")
	}
	if err != nil {
		return fmt.Errorf("make namespace %s: %w", name, err)
	}
	return nil
}

// removeNamespace takes the name away; the kernel does the rest when nobody is left inside.
func removeNamespace(name string) error {
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
