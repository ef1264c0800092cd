package results

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// recordedSysctls lists the settings of net.* that change throughput, retransmits or port choice.
func recordedSysctls() []string {
	return []string{
		"net.core.bpf_jit_enable", "net.core.netdev_budget", "net.core.netdev_max_backlog", "net.core.optmem_max",
		"net.core.rmem_default", "net.core.rmem_max", "net.core.wmem_default", "net.core.wmem_max", "net.core.somaxconn",
		"net.ipv4.ip_local_port_range", "net.ipv4.tcp_adv_win_scale", "net.ipv4.tcp_ecn", "net.ipv4.tcp_limit_output_bytes",
		"net.ipv4.tcp_mem", "net.ipv4.tcp_moderate_rcvbuf", "net.ipv4.tcp_mtu_probing", "net.ipv4.tcp_no_metrics_save",
		"net.ipv4.tcp_recovery", "net.ipv4.tcp_rmem", "net.ipv4.tcp_sack", "net.ipv4.tcp_slow_start_after_idle",
		"net.ipv4.tcp_timestamps", "net.ipv4.tcp_window_scaling", "net.ipv4.tcp_wmem", "net.netfilter.nf_conntrack_max",
	}
}

// procFS reads small files of /proc, /sys and /etc below a root folder.
type procFS string

// text is the content of a file without the white space around it; empty when it cannot be read.
func (root procFS) text(path string) string {
	data, err := os.ReadFile(filepath.Join(string(root), path))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func (root procFS) sysctl(name string) string {
	return strings.Join(strings.Fields(root.text("proc/sys/"+strings.ReplaceAll(name, ".", "/"))), " ")
}

// field is the value of the first line "name<separator>value".
func (root procFS) field(path, name, separator string) string {
	for line := range strings.Lines(root.text(path)) {
		key, value, ok := strings.Cut(line, separator)
		if ok && strings.TrimSpace(key) == name {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}

// kilobytes is a field of /proc/meminfo in bytes.
func (root procFS) kilobytes(name string) int64 {
	value, _, _ := strings.Cut(root.field("proc/meminfo", name, ":"), " ")
	kb, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0
	}
	return kb * 1024
}

func readProc(folder string) Environment {
	root := procFS(folder)
	env := Environment{
		Kernel:       root.text("proc/sys/kernel/osrelease"),
		KernelBuild:  root.text("proc/sys/kernel/version"),
		Distribution: root.field("etc/os-release", "PRETTY_NAME", "="),
		CPUModel:     root.field("proc/cpuinfo", "model name", ":"),
		CPUGovernor:  root.text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
		Clocksource:  root.text("sys/devices/system/clocksource/clocksource0/current_clocksource"),
		MemoryTotal:  root.kilobytes("MemTotal"),
		MemoryFree:   root.kilobytes("MemAvailable"),
		Congestion:   root.sysctl("net.ipv4.tcp_congestion_control"),
		Congestions:  strings.Fields(root.sysctl("net.ipv4.tcp_available_congestion_control")),
		Qdisc:        root.sysctl("net.core.default_qdisc"),
		Virtual:      root.virtual(),
		Sysctls:      map[string]string{},
	}
	for field := range strings.FieldsSeq(root.text("proc/loadavg")) {
		value, err := strconv.ParseFloat(field, 64)
		if err != nil || len(env.Load) == 3 {
			break
		}
		env.Load = append(env.Load, value)
	}
	for _, name := range recordedSysctls() {
		if value := root.sysctl(name); value != "" {
			env.Sysctls[name] = value
		}
	}
	env.CPUTime, env.CPUs = root.cpuTime()
	return env
}

// cpuTime reads /proc/stat: the times of all CPUs together, and how many there are.
func (root procFS) cpuTime() (total CPUTime, cpus int) {
	const perSecond = 100 // USER_HZ, fixed in the ABI of every architecture that Go supports on Linux
	for line := range strings.Lines(root.text("proc/stat")) {
		fields := strings.Fields(line)
		if len(fields) == 0 || !strings.HasPrefix(fields[0], "cpu") {
			continue
		}
		if fields[0] != "cpu" {
			cpus++
			continue
		}
		ticks := make([]float64, 8) // user nice system idle iowait irq softirq steal; guest is within user
		for i := range ticks {
			if i+1 < len(fields) {
				value, err := strconv.ParseFloat(fields[i+1], 64)
				if err == nil {
					ticks[i] = value / perSecond
				}
			}
		}
		total = CPUTime{
			User: ticks[0] + ticks[1], System: ticks[2], Idle: ticks[3], IOWait: ticks[4], IRQ: ticks[5] + ticks[6], Steal: ticks[7],
		}
	}
	return total, cpus
}

func (root procFS) virtual() Virtual {
	vendor, product := root.text("sys/class/dmi/id/sys_vendor"), root.text("sys/class/dmi/id/product_name")
	v := Virtual{
		Product:   strings.TrimSpace(vendor + " " + product),
		CPUMax:    root.text("sys/fs/cgroup/cpu.max"),
		MemoryMax: root.text("sys/fs/cgroup/memory.max"),
	}
	for flag := range strings.FieldsSeq(root.field("proc/cpuinfo", "flags", ":")) {
		v.Hypervisor = v.Hypervisor || flag == "hypervisor"
	}
	groups := root.text("proc/1/cgroup")
	for name, found := range map[string]bool{
		"docker":     root.exists(".dockerenv") || strings.Contains(groups, "docker"),
		"podman":     root.exists("run/.containerenv"),
		"kubernetes": root.exists("var/run/secrets/kubernetes.io") || strings.Contains(groups, "kubepods"),
		"lxc":        strings.Contains(groups, "lxc"),
	} {
		if found && (v.Container == "" || name < v.Container) {
			v.Container = name
		}
	}
	return v
}

func (root procFS) exists(path string) bool {
	_, err := os.Stat(filepath.Join(string(root), path))
	return err == nil
}
