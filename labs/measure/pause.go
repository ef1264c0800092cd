package measure

import (
	"fmt"
	"time"
)

const (
	// pauseTick is how often the clock is looked at, to see whether the machine stood still.
	pauseTick = 10 * time.Millisecond
	// A machine that stood still for so long, and for so large a part of the time in which something was measured, disturbed it.
	pauseLimit = 250 * time.Millisecond
	pauseShare = 0.1
)

// WatchPauses watches how long the machine stands still at most, until the returned function is called.
func WatchPauses() (stop func() time.Duration) {
	done, result := make(chan struct{}), make(chan time.Duration, 1)
	go func() {
		tick := time.NewTicker(pauseTick)
		defer tick.Stop()
		longest, last := time.Duration(0), time.Now()
		for {
			select {
			case <-tick.C:
				longest, last = max(longest, time.Since(last)-pauseTick), time.Now()
			case <-done:
				result <- max(longest, time.Since(last)-pauseTick)
				return
			}
		}
	}()
	return func() time.Duration {
		close(done)
		return <-result
	}
}

// DescribePause is why a pause disturbed what took so long; empty if it didn't.
func DescribePause(pause, took time.Duration) string {
	if pause <= pauseLimit || pause.Seconds() <= pauseShare*took.Seconds() {
		return ""
	}
	return fmt.Sprintf("the machine stood still for %.1f s of %.1f s", pause.Seconds(), took.Seconds())
}
