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
// sched_rt_runtime_us in sched(7)). Where the machine doesn't allow it, as a container without CAP_SYS_NICE does not, nothing changes; how
// says what it came to.
func prioritize() (restore func(), how string) {
	before, err := unix.SchedGetAttr(0, 0)
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
