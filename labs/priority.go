package labs

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// realTime is the priority of the lab's own threads while it measures: the lowest of real time (sched(7)).
const realTime = 1

// prioritize lets this process, and what it starts from now on, run before ordinary processes, until restore is called: a client or server
// that waits for a processor while others compute measures the waiting. Others keep what the kernel reserves for them (5 % by default,
// sched_rt_runtime_us in sched(7)). Where the machine doesn't allow it, as a container without CAP_SYS_NICE does not, or where it would keep
// the kernel's own work waiting, nothing changes; how describes the result.
func prioritize() (restore func(), how string) {
	before, err := unix.SchedGetAttr(0, 0)
	if err == nil {
		err = softirqsYield()
	}
	if err == nil {
		err = setPolicy(&unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: realTime})
	}
	if err != nil {
		return func() {}, fmt.Sprintf("as ordinary processes: %v", err)
	}
	return func() { _ = setPolicy(before) }, fmt.Sprintf("with real-time priority %d", realTime) // what was allowed is allowed back
}

// setPolicy sets the scheduling policy of all threads of this process. Threads that one of them starts meanwhile may have the old one: so it
// looks again until it finds none.
func setPolicy(attr *unix.SchedAttr) error {
	const looks = 10
	for range looks {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		changed := false
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			if err != nil {
				return err
			}
			now, err := unix.SchedGetAttr(tid, 0)
			if err == nil && (now.Policy != attr.Policy || now.Priority != attr.Priority) {
				changed, err = true, unix.SchedSetAttr(tid, attr, 0)
			}
			if err != nil && !errors.Is(err, unix.ESRCH) { // a thread that has ended
				return err
			}
		}
		if !changed {
			return nil
		}
	}
	return nil
}

// softirqsYield returns an error if real-time priority would slow the network down. Before Linux 6.5 all softirqs wait while ksoftirqd
// is to run, and ksoftirqd is an ordinary thread: packets would wait until no client or server has anything to do.
func softirqsYield() error {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return err
	}
	if release := unix.ByteSliceToString(name.Release[:]); olderThan(release, 6, 5) {
		return fmt.Errorf("on Linux %s real-time priority keeps ksoftirqd waiting (want 6.5 or later)", release)
	}
	return nil
}

// olderThan reports whether a kernel's release, as in 6.1.0-56-cloud-amd64, comes before a version. One that can't be read does not.
func olderThan(release string, major, minor int) bool {
	var gotMajor, gotMinor int
	if n, _ := fmt.Sscanf(release, "%d.%d", &gotMajor, &gotMinor); n != 2 {
		return false
	}
	return gotMajor < major || gotMajor == major && gotMinor < minor
}
