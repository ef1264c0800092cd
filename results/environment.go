package results

import (
	"runtime"
	"runtime/debug"
	"time"
)

// Environment is what a machine was like at one moment. What could not be read is left empty.
type Environment struct {
	Time         time.Time `json:"time"`
	Kernel       string    `json:"kernel"`        // /proc/sys/kernel/osrelease
	KernelBuild  string    `json:"kernelBuild"`   // /proc/sys/kernel/version
	Distribution string    `json:"distribution"`  // PRETTY_NAME of os-release
	Architecture string    `json:"architecture"`  // as Go names it
	CPUModel     string    `json:"cpuModel"`      // of the first CPU
	CPUs         int       `json:"cpus"`          // online
	CPUGovernor  string    `json:"cpuGovernor"`   // of the first CPU
	Clocksource  string    `json:"clocksource"`   // what time is read from
	MemoryTotal  int64     `json:"memoryTotal"`   // bytes
	MemoryFree   int64     `json:"memoryFree"`    // bytes, MemAvailable
	Load         []float64 `json:"load"`          // averages over 1, 5 and 15 minutes
	CPUTime      CPUTime   `json:"cpuTime"`       // since boot
	Congestion   string    `json:"congestion"`    // default congestion control of the host's namespace
	Congestions  []string  `json:"congestions"`   // available there
	Qdisc        string    `json:"qdisc"`         // net.core.default_qdisc
	Virtual      Virtual   `json:"virtual"`       // hints at virtual machines and containers
	GoVersion    string    `json:"goVersion"`     // that dsrlab was built with
	Version      string    `json:"dsrlabVersion"` // of the main module
	// Sysctls are the settings of the network stack that change what TCP and UDP do, of the namespace of the caller.
	Sysctls map[string]string `json:"sysctls"`
}

// CPUTime is the time that all CPUs spent since boot, in seconds (/proc/stat; proc_stat(5)).
type CPUTime struct {
	User   float64 `json:"user"` // nice and guest included
	System float64 `json:"system"`
	IRQ    float64 `json:"irq"` // hard and soft
	Idle   float64 `json:"idle"`
	IOWait float64 `json:"iowait"`
	// Steal is what the hypervisor gave to others while a CPU here wanted to run.
	Steal float64 `json:"steal"`
}

// Virtual holds hints at what the machine is made of.
type Virtual struct {
	Hypervisor bool   `json:"hypervisor"`          // the CPU says that there is one (x86 only)
	Product    string `json:"product,omitempty"`   // vendor and product of the DMI tables
	Container  string `json:"container,omitempty"` // docker, podman, kubernetes or lxc
	CPUMax     string `json:"cpuMax,omitempty"`    // cgroup v2 cpu.max
	MemoryMax  string `json:"memoryMax,omitempty"` // cgroup v2 memory.max
}

// Environments is env.json: the machine before and after a run, and what the lab knows of its own links.
type Environments struct {
	Before Environment  `json:"before"`
	After  *Environment `json:"after,omitempty"`
	// Lab is data of the lab: offloads and qdiscs of its links, versions of other programs (see Recorder.Describe).
	Lab map[string]any `json:"lab,omitempty"`
}

// Busy is the share of CPU time (0 to 1) between before and after in which the CPUs did work, and steal the share that
// the hypervisor took away. Both are 0 when after is missing.
func (e Environments) Busy() (busy, steal float64) {
	if e.After == nil {
		return 0, 0
	}
	a, b := e.Before.CPUTime, e.After.CPUTime
	idle := b.Idle - a.Idle + b.IOWait - a.IOWait
	work := b.User - a.User + b.System - a.System + b.IRQ - a.IRQ
	stolen := b.Steal - a.Steal
	total := idle + work + stolen
	if total <= 0 {
		return 0, 0
	}
	return work / total, stolen / total
}

// ReadEnvironment collects what /proc and /sys say about this machine. The network settings are those of the network
// namespace that the calling thread is in.
func ReadEnvironment() Environment {
	env := readProc("/")
	env.Time = time.Now()
	env.Architecture = runtime.GOARCH
	env.GoVersion = runtime.Version()
	if info, ok := debug.ReadBuildInfo(); ok {
		env.Version = info.Main.Version
	}
	return env
}
