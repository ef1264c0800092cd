package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/internal/capability"
)

func TestJudge(t *testing.T) {
	checks := []Check{
		{Name: "root", Needed: needAll, State: OK},
		{Name: "shaped wires", Needed: needShaped, State: Missing},
		{Name: "netem", Needed: needNone, State: Missing},
	}
	labs := []Lab{{Name: "plain"}, {Name: "shaped", Shaped: true}, {Name: "translating", Translates: true}}
	assert.Equal(t, []Verdict{
		{Lab: "plain", CanRun: true},
		{Lab: "shaped", Missing: []string{"shaped wires"}},
		{Lab: "translating", CanRun: true},
	}, Judge(checks, labs, false))
	checks = append(checks, Check{Name: "nftables", Needed: needBase, State: Missing})
	checks[0].State = Missing
	assert.Equal(t, []Verdict{
		{Lab: "plain", Missing: []string{"root"}},
		{Lab: "shaped", Missing: []string{"root", "shaped wires"}},
		{Lab: "translating", Missing: []string{"root", "nftables"}},
	}, Judge(checks, labs, false))
}

// On a kind cluster a lab needs what the cluster needs, and some labs can't run there at all.
func TestJudgeOnKind(t *testing.T) {
	checks := []Check{{Name: "root", Needed: needAll, State: OK}, {Name: "privileged containers", Needed: needKind, State: OK}}
	labs := []Lab{{Name: "plain"}, {Name: "failing", OnlyNetns: "an LB node that fails"}}
	assert.Equal(t, []Verdict{{Lab: "plain", CanRun: true}, {Lab: "failing", OnlyNetns: "an LB node that fails"}}, Judge(checks, labs, true))
	checks[1].State = Missing
	assert.Equal(t, []Verdict{
		{Lab: "plain", Missing: []string{"privileged containers"}},
		{Lab: "failing", Missing: []string{"privileged containers"}, OnlyNetns: "an LB node that fails"},
	}, Judge(checks, labs, true))
	assert.Equal(t, []Verdict{{Lab: "plain", CanRun: true}, {Lab: "failing", CanRun: true}}, Judge(checks, labs, false), "namespaces need none of it")
}

func TestWithoutRoot(t *testing.T) {
	checks := withoutRoot()
	assert.Equal(t, Check{Name: "root", Needed: needAll, State: Missing, Seen: checks[0].Seen, How: "run it with sudo"}, checks[0])
	for _, c := range checks[1:] {
		assert.Equal(t, Skipped, c.State, c.Name)
	}
}

func TestOutcome(t *testing.T) {
	p := probe{how: "modprobe it"}
	state, seen, how := judge(p, errors.New("no such device"))
	assert.Equal(t, []string{"missing", "no such device", "modprobe it"}, []string{string(state), seen, how})
	state, seen, how = judge(p, needsError("veth pairs"))
	assert.Equal(t, []string{"skipped", "needs veth pairs", ""}, []string{string(state), seen, how})
	state, _, how = judge(p, fmt.Errorf("add link: %w", unix.EPERM))
	assert.Equal(t, Missing, state)
	assert.NotEqual(t, p.how, how, "a module gives no permission")
}

// Root without a capability, as in a container: what it is refused is named for the capability, and not for the kernel.
func TestWithoutCapability(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	for _, lacking := range []capability.Capability{capability.NetAdmin, capability.SysAdmin, capability.NetRaw} {
		var checks []Check
		var err error
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread() // and the thread ends with the goroutine
			if err = drop(lacking); err == nil {
				checks = inScratch(t.Context())
			}
		}()
		<-done
		require.NoError(t, err)
		named := 0
		for _, c := range checks {
			if c.State == Missing && strings.Contains(c.Seen, unix.EPERM.Error()) {
				named++
				assert.Equal(t, capability.Without([]capability.Capability{lacking}), c.How, c.Name)
			}
		}
		assert.Positive(t, named, "without CAP_%v something is refused", lacking)
	}
}

// drop takes a capability away from this thread.
func drop(c capability.Capability) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	data[c/32].Effective &^= 1 << (c % 32)
	return unix.Capset(&header, &data[0])
}

func TestRunLeavesNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	host := func() []string {
		var state []string
		links, err := netlink.LinkList()
		require.NoError(t, err)
		for _, l := range links {
			state = append(state, l.Attrs().Name)
		}
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		require.NoError(t, err)
		left, err := filepath.Glob(filepath.Join(os.TempDir(), "dsrlab-doctor-*"))
		require.NoError(t, err)
		return append(append(state, strings.Split(string(mounts), "\n")...), left...)
	}
	before := host()
	checks := Run(t.Context())
	assert.Equal(t, before, host())
	for _, c := range checks {
		if c.Needed != needNone {
			assert.Equal(t, OK, c.State, "%s: %s", c.Name, c.Seen)
		}
	}
	for _, v := range Judge(checks, []Lab{{Name: "all", Shaped: true, Translates: true}}, false) {
		assert.True(t, v.CanRun, v.Lab)
	}
}
