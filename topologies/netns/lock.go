package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lock keeps other processes from building or taking down the same lab. It ends by unlock, or with the process.
type lock struct {
	file *os.File
	path string
}

func lockPath(stateDir, name string) string { return filepath.Join(stateDir, name+".lock") }

// takeLock takes a network's lock, or says at once that someone else has it.
func takeLock(stateDir, name string) (*lock, error) {
	path := lockPath(stateDir, name)
	for {
		if err := os.MkdirAll(stateDir, 0o755); err != nil {
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
		if errors.Is(err, os.ErrNotExist) {
			continue // the folder went with the last lab
		}
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			file.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, fmt.Errorf("network %s is being built or removed by another process", name)
			}
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		if isSameFile(file, path) {
			return &lock{file: file, path: path}, nil
		}
		file.Close() // who held it has removed it since it was opened: it keeps nobody out
	}
}

// isSameFile reports whether path still names the open file.
func isSameFile(file *os.File, path string) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(opened, named)
}

// unlock removes the lock's file while it is still held, and lets go.
func (l *lock) unlock() {
	_ = os.Remove(l.path) // left behind, it does no harm
	l.file.Close()
}
