package kind

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dsrlab/dsrlab/topologies/netns"
)

// kubeletSettings are what kubelet changes of the whole machine (pkg/kubelet/cm/container_manager_linux.go, setupKernelTunables).
func kubeletSettings() []string {
	return []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"}
}

const sysctlDir = "/proc/sys"

// rememberSettings notes what kubelet will change.
func rememberSettings(own func(netns.Owned) error) error {
	for _, name := range kubeletSettings() {
		value, err := os.ReadFile(filepath.Join(sysctlDir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = own(netns.Owned{What: ownedSetting, Name: name, Value: strings.TrimSpace(string(value))})
		}
		if err != nil {
			return fmt.Errorf("remember sysctl %s: %w", name, err)
		}
	}
	return nil
}

// restoreSetting gives a setting its value of before.
func restoreSetting(name, value string) error {
	path := filepath.Join(sysctlDir, name)
	now, err := os.ReadFile(path)
	if err == nil && strings.TrimSpace(string(now)) != value {
		err = os.WriteFile(path, []byte(value), 0)
	}
	if err != nil {
		return fmt.Errorf("restore sysctl %s to %s: %w", name, value, err)
	}
	return nil
}
