package capability

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"
)

func TestLackingOf(t *testing.T) {
	needed := []Capability{NetAdmin, SysAdmin}
	assert.Empty(t, lackingOf(1<<unix.CAP_NET_ADMIN|1<<unix.CAP_SYS_ADMIN, needed))
	assert.Equal(t, needed, lackingOf(1<<unix.CAP_NET_RAW, needed))
	agent := []Capability{NetAdmin, BPF, Perfmon}
	assert.Empty(t, lackingOf(1<<unix.CAP_NET_ADMIN|1<<unix.CAP_SYS_ADMIN, agent))
	assert.Empty(t, lackingOf(1<<unix.CAP_NET_ADMIN|1<<unix.CAP_BPF|1<<unix.CAP_PERFMON, agent))
	assert.Equal(t, []Capability{BPF}, lackingOf(1<<unix.CAP_NET_ADMIN|1<<unix.CAP_PERFMON, agent))
	assert.Equal(t, []Capability{NetRaw}, lackingOf(1<<unix.CAP_NET_ADMIN, []Capability{NetAdmin, NetRaw}))
}

func TestHow(t *testing.T) {
	const how = "a kernel with CONFIG_NET_NS"
	for _, c := range []struct {
		name    string
		err     error
		lacking []Capability
		want    string
	}{
		{"not built in", unix.EOPNOTSUPP, []Capability{SysAdmin}, how},
		{"refused", fmt.Errorf("make namespace: %w", unix.EPERM), []Capability{SysAdmin},
			"the capability CAP_SYS_ADMIN, which this process does not have; in a container, run it with --cap-add SYS_ADMIN"},
		{"two are missing", unix.EACCES, []Capability{NetAdmin, NetRaw},
			"the capabilities CAP_NET_ADMIN and CAP_NET_RAW, which this process does not have; in a container, run it with --cap-add NET_ADMIN --cap-add NET_RAW"},
		{"refused by something else", unix.EPERM, nil,
			"a permission: the process has all capabilities that are needed, and yet a user namespace or a security policy " +
				"(seccomp, AppArmor, SELinux, lockdown) refuses it; in a container, run it with --privileged"},
	} {
		assert.Equal(t, c.want, howWithout(c.err, how, c.lacking), c.name)
	}
}

func TestExplain(t *testing.T) {
	refused := fmt.Errorf("map create: %w (MEMLOCK may be too low, consider rlimit.RemoveMemlock)", unix.EPERM)
	assert.Equal(t, refused, explain(refused, nil))
	assert.Equal(t, unix.EINVAL, explain(unix.EINVAL, []Capability{BPF}))
	err := explain(refused, []Capability{BPF})
	assert.EqualError(t, err, "operation not permitted: it needs the capability CAP_BPF, which this process does not have; in a container, run it with --cap-add BPF")
	assert.ErrorIs(t, err, unix.EPERM)
}
