package results

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadProc(t *testing.T) {
	root := t.TempDir()
	for path, content := range map[string]string{
		"proc/sys/kernel/osrelease": "6.1.0-9-amd64\n",
		"proc/sys/kernel/version":   "#1 SMP\n",
		"etc/os-release":            "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n",
		"proc/cpuinfo":              "processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nflags\t\t: fpu hypervisor sse\n\nprocessor\t: 1\nmodel name\t: another\n",
		"proc/meminfo":              "MemTotal:       2048 kB\nMemFree: 1 kB\nMemAvailable:   1024 kB\n",
		"proc/loadavg":              "0.50 0.25 1.00 2/345 6789\n",
		"proc/stat":                 "cpu  100 50 200 1000 30 5 15 40 7 0\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5\n",
		"proc/sys/net/ipv4/tcp_congestion_control":                        "bbr\n",
		"proc/sys/net/ipv4/tcp_available_congestion_control":              "reno cubic bbr\n",
		"proc/sys/net/ipv4/tcp_rmem":                                      "4096\t131072\t6291456\n",
		"proc/sys/net/core/default_qdisc":                                 "fq\n",
		"sys/class/dmi/id/sys_vendor":                                     "QEMU\n",
		"sys/class/dmi/id/product_name":                                   "Standard PC\n",
		"sys/fs/cgroup/cpu.max":                                           "200000 100000\n",
		"proc/1/cgroup":                                                   "0::/kubepods/burstable/x\n",
		".dockerenv":                                                      "",
		"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor":            "performance\n",
		"sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, path), []byte(content), 0o644))
	}
	assert.Equal(t, Environment{
		Kernel: "6.1.0-9-amd64", KernelBuild: "#1 SMP", Distribution: "Debian GNU/Linux 12",
		CPUModel: "A CPU @ 2 GHz", CPUs: 2, CPUGovernor: "performance", Clocksource: "tsc",
		MemoryTotal: 2048 * 1024, MemoryFree: 1024 * 1024, Load: []float64{0.5, 0.25, 1},
		CPUTime:    CPUTime{User: 1.5, System: 2, Idle: 10, IOWait: 0.3, IRQ: 0.2, Steal: 0.4},
		Congestion: "bbr", Congestions: []string{"reno", "cubic", "bbr"}, Qdisc: "fq",
		Virtual: Virtual{Hypervisor: true, Product: "QEMU Standard PC", Container: "docker", CPUMax: "200000 100000"},
		Sysctls: map[string]string{"net.ipv4.tcp_rmem": "4096 131072 6291456"},
	}, readProc(root))
}

func TestReadProcOfNothing(t *testing.T) {
	assert.Equal(t, Environment{Congestions: []string{}, Sysctls: map[string]string{}}, readProc(t.TempDir()))
}

func TestReadEnvironment(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs Linux: reads /proc")
	}
	env := ReadEnvironment()
	assert.NotEmpty(t, env.Kernel)
	assert.Positive(t, env.CPUs)
	assert.Positive(t, env.MemoryTotal)
	assert.Len(t, env.Load, 3)
	assert.NotEmpty(t, env.Congestion)
	assert.NotEmpty(t, env.Sysctls)
	assert.Positive(t, env.CPUTime.Idle)
	assert.Equal(t, runtime.Version(), env.GoVersion)
}

func TestBusy(t *testing.T) {
	after := Environment{CPUTime: CPUTime{User: 40, System: 20, Idle: 130, Steal: 10}}
	busy, steal := Environments{After: &after}.Busy()
	assert.InDelta(t, 0.3, busy, 1e-12)
	assert.InDelta(t, 0.05, steal, 1e-12)
	busy, steal = Environments{}.Busy()
	assert.Zero(t, busy)
	assert.Zero(t, steal)
}
