package netns

import "github.com/dsrlab/dsrlab/topologies/proc"

// isZombie reports whether a process has ended, and only waits to be reaped.
func isZombie(pid int) bool {
	p, err := proc.Read(pid)
	return err != nil || p.Ended()
}
