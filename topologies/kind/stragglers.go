package kind

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// endStragglers ends what kind has started for a lab and who started it no longer waits for, as he was killed: they go on making
// containers. They are known by the variable that names the lab. It tells whether there were any.
func endStragglers(lab string) bool {
	mark := []byte(labVariable + "=" + lab)
	found := false
	files, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is good
	for _, file := range files {
		environment, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		for _, variable := range bytes.Split(environment, []byte{0}) {
			if bytes.Equal(variable, mark) {
				found = unix.Kill(pid, unix.SIGKILL) == nil || found
			}
		}
	}
	return found
}
