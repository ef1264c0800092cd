package netns

// isZombie reports whether a process has ended, and only waits to be reaped.
func isZombie(pid int) bool {
	p, err := readProcess(pid)
	return err != nil || p.ended()
}
