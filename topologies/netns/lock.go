package netns

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/dsrlab/dsrlab/topologies/lockfile"
)

// Lock makes this process the only one that builds, changes or removes a network. It ends by Release, or with the process.
type Lock struct {
	stateDir, name string
	file           *lockfile.Lock // nil once it is released
}

const lockSuffix = ".lock"

func lockPath(stateDir, name string) string { return filepath.Join(stateDir, name+lockSuffix) }

// Acquire takes a network's lock, whether there is such a network or not. If another process holds it, the error is a
// *lockfile.HeldError, or Acquire waits.
func Acquire(ctx context.Context, stateDir, name string, waiting lockfile.Waiting) (*Lock, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	file, err := lockfile.Take(ctx, lockPath(stateDir, name), "testbed "+name+" is in use", waiting)
	if err != nil {
		return nil, err
	}
	return &Lock{stateDir: stateDir, name: name, file: file}, nil
}

// isHeld reports whether the lock was not released yet.
func (l *Lock) isHeld() bool { return l != nil && l.file != nil }

// Release lets go of the lock. It removes the state folder if that is the default one and empty.
func (l *Lock) Release() {
	if !l.isHeld() {
		return
	}
	l.file.Release()
	l.file = nil
	removeIfDefault(l.stateDir)
}

// traceLock is the file of a network's folder that AcquireTrace locks. It ends with the folder, also if its process was killed.
const traceLock = "tracing" + lockSuffix

// AcquireTrace takes the lock of what follows a flow through the network: programs follow one at a time, and a second one would take the
// first one's place. It keeps nobody from using the network.
func (nw *Network) AcquireTrace(ctx context.Context, waiting lockfile.Waiting) (release func(), err error) {
	l, err := lockfile.Take(ctx, filepath.Join(nw.Dir(), traceLock), "testbed "+nw.name+" is being traced", waiting)
	if err != nil {
		return nil, err
	}
	return l.Release, nil
}

// removeIfDefault removes the default state folder if it is empty: another network may be there.
func removeIfDefault(stateDir string) {
	if filepath.Clean(stateDir) == DefaultStateDir {
		_ = os.Remove(stateDir)
	}
}

// machineLock is the lock of what measures; no network has such a name.
const machineLock = DefaultStateDir + "/.measuring" + lockSuffix

// ForgetMachine removes what a lab that was killed has left of the machine's lock.
func ForgetMachine(ctx context.Context) error {
	if _, held := lockfile.HolderOf(machineLock); held || !exists(machineLock) {
		return nil
	}
	release, err := AcquireMachine(ctx, nil)
	var taken *lockfile.HeldError
	if errors.As(err, &taken) {
		return nil // by a lab that began meanwhile
	}
	if err != nil {
		return err
	}
	release()
	return nil
}

// AcquireMachine takes the lock of what measures on this machine: two at once would spoil each other. It is one for all state folders.
func AcquireMachine(ctx context.Context, waiting lockfile.Waiting) (release func(), err error) {
	l, err := lockfile.Take(ctx, machineLock, "this machine is in use for measuring", waiting)
	if err != nil {
		return nil, err
	}
	return func() {
		l.Release()
		removeIfDefault(DefaultStateDir)
	}, nil
}
