package labs

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// policies are the scheduling policies of all threads of this process.
func policies(t *testing.T) map[uint32]int {
	t.Helper()
	found := make(map[uint32]int)
	tasks, err := os.ReadDir("/proc/self/task")
	require.NoError(t, err)
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		require.NoError(t, err)
		if attr, err := unix.SchedGetAttr(tid, 0); err == nil {
			found[attr.Policy]++
		}
	}
	return found
}

func TestPrioritize(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: real-time priority")
	}
	before := policies(t)
	restore, how := prioritize()
	t.Cleanup(restore)
	if strings.HasPrefix(how, "as ordinary processes") {
		restore()
		assert.Equal(t, before, policies(t), "where it is not allowed nothing changes")
		return
	}
	assert.Equal(t, []uint32{unix.SCHED_RR}, keys(policies(t)), "all threads have it")
	out, err := exec.Command("cut", "-d", " ", "-f", "41", "/proc/self/stat").Output() // policy, proc_pid_stat(5)
	require.NoError(t, err)
	assert.Equal(t, strconv.Itoa(unix.SCHED_RR), strings.TrimSpace(string(out)), "and what is started meanwhile")
	restore()
	assert.Equal(t, []uint32{unix.SCHED_NORMAL}, keys(policies(t)), "nothing of it stays")
}

func TestOlderThan(t *testing.T) {
	for release, want := range map[string]bool{
		"6.1.0-56-cloud-amd64": true, "5.19": true, "6.4.16": true, "6.5.0": false, "6.12.118+deb13": false, "6.18-rc1": false, "7.0.1": false, "": false, "six": false,
	} {
		assert.Equal(t, want, olderThan(release, 6, 5), release)
	}
}

func keys(m map[uint32]int) []uint32 {
	var all []uint32
	for k := range m {
		all = append(all, k)
	}
	return all
}
