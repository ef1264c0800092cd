package benchmark

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// Record is what a benchmark writes.
type Record struct {
	Machine Machine  `json:"machine"`
	Figures []Figure `json:"figures"`
}

// Machine is what the figures were measured on. What could not be read is left empty.
type Machine struct {
	CPU      string    `json:"cpu"` // as /proc/cpuinfo calls the first one
	CPUs     int       `json:"cpus"`
	Kernel   string    `json:"kernel"`
	Recorded time.Time `json:"recorded"`
}

// Figure is a line of a record: hook/path/flows are established or new/family/number of flows.
type Figure struct {
	Name string `json:"name"`
	Net
}

var modelName = regexp.MustCompile(`(?m)^model name\s*: (.*)$`)

// ThisMachine reads the machine that the caller runs on.
func ThisMachine() Machine {
	m := Machine{CPUs: runtime.NumCPU(), Recorded: time.Now().UTC().Truncate(time.Second)}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if model := modelName.FindSubmatch(text); model != nil {
			m.CPU = string(model[1])
		}
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(text))
	}
	return m
}

// String says it in one line.
func (m Machine) String() string {
	return fmt.Sprintf("%d CPUs (%s) under Linux %s, %s", m.CPUs, m.CPU, m.Kernel, m.Recorded.Format("2 January 2006"))
}
