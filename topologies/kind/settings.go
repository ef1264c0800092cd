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

// initSettings are what the nodes' init, systemd, sets of the whole machine: PID 1 itself, and its sysctl.d. To what depends on its version.
func initSettings() []string {
	return []string{
		"fs/file-max", "fs/nr_open", "fs/protected_fifos", "fs/protected_hardlinks", "fs/protected_regular", "fs/protected_symlinks",
		"kernel/core_pattern", "kernel/core_pipe_limit", "kernel/core_uses_pid", "kernel/pid_max", "kernel/sysrq", "vm/max_map_count",
	}
}

const sysctlDir = "/proc/sys"

// rememberSettings notes what kubelet and the nodes' init will change. What is as kubelet sets it already, by another kubelet of the
// machine or by its owner, is theirs.
func rememberSettings(own func(netns.Resource) error) error {
	if err := noteInitSettings(ownedInitSetting, own); err != nil {
		return err
	}
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

// noteInitSettings notes what the settings of the nodes' init are now.
func noteInitSettings(kind string, own func(netns.Resource) error) error {
	for _, name := range initSettings() {
		value, err := os.ReadFile(filepath.Join(sysctlDir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = own(netns.Resource{Kind: kind, Name: name, Value: strings.TrimSpace(string(value))})
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

// restoreInitSetting gives a setting its value of before in folder dir. If it has not what the nodes' init made of it, someone else has
// changed it meanwhile, or another cluster's end restored it, and it stays. made is empty if the nodes never came up.
func restoreInitSetting(dir, name, value, made string) error {
	path := filepath.Join(dir, name)
	text, err := os.ReadFile(path)
	now := strings.TrimSpace(string(text))
	if err == nil && now != value && (made == "" || now == made) {
		err = os.WriteFile(path, []byte(value), 0)
	}
	if err != nil {
		return fmt.Errorf("restore sysctl %s to %s: %w", name, value, err)
	}
	return nil
}
