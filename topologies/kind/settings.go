package kind

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dsrlab/dsrlab/topologies/netns"
)

// kubeletSettings are what kubelet sets of the whole machine, and to what (pkg/kubelet/cm/container_manager_linux.go,
// setupKernelTunables).
func kubeletSettings() map[string]string {
	return map[string]string{
		"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
		"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
	}
}

const sysctlDir = "/proc/sys"

// rememberSettings notes what kubelet will change. What is so already, by another kubelet of the machine or by its owner, is theirs.
func rememberSettings(own func(netns.Resource) error) error {
	for name, kubelets := range kubeletSettings() {
		value, err := os.ReadFile(filepath.Join(sysctlDir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil && strings.TrimSpace(string(value)) != kubelets {
			err = own(netns.Resource{Kind: ownedSetting, Name: name, Value: strings.TrimSpace(string(value))})
		}
		if err != nil {
			return fmt.Errorf("remember sysctl %s: %w", name, err)
		}
	}
	return nil
}

// restoreSetting gives a setting its value of before, if it still has kubelet's: else someone has changed it meanwhile.
func restoreSetting(name, value string) error {
	path := filepath.Join(sysctlDir, name)
	now, err := os.ReadFile(path)
	if err == nil && strings.TrimSpace(string(now)) == kubeletSettings()[name] {
		err = os.WriteFile(path, []byte(value), 0)
	}
	if err != nil {
		return fmt.Errorf("restore sysctl %s to %s: %w", name, value, err)
	}
	return nil
}
