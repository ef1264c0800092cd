package netns

import (
	"fmt"
	"os/exec"
	"syscall"
)

// Exec replaces this process by a program in a namespace. The program has the process ID, and with it what this process was sent or
// given: signals, the terminal, the parent that waits for its exit status. Exec only returns if that fails.
func (nw *Network) Exec(ns string, argv []string) error {
	path, err := exec.LookPath(argv[0])
	if err == nil {
		environment := nw.environment()
		err = nw.Do(ns, func() error { return syscall.Exec(path, argv, environment) })
	}
	return fmt.Errorf("run %s in %s: %w", argv[0], ns, err)
}
