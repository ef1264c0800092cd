package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// steer gives every flow one CPU, at every hop, where links have limits.
//
// Left alone, a veth hands a packet to the CPU that sent it (veth_xmit, drivers/net/veth.c; netif_rx, net/core/dev.c), and whenever a token
// bucket's timer runs on another CPU, what it sends overtakes what still waits on the first, which TCP takes for loss. With receive packet
// steering over all CPUs the flow's hash chooses (Documentation/networking/scaling.rst, RPS). It is the same CPU at the next hop: so frames
// that were sent back to back arrive back to back at a policer, as on a wire, and not as far apart as the hops before it take to hand them
// from CPU to CPU.
func (b *builder) steer() error {
	cpus := steering(usableCPUs())
	if !b.plan.Limited() || cpus == "" {
		return nil
	}
	err := b.steerNamespace(Fabric, cpus)
	for i := range b.plan.Nodes {
		err = errors.Join(err, b.steerNamespace(b.plan.Nodes[i].Name, cpus))
	}
	return err
}

func (b *builder) steerNamespace(name, cpus string) error {
	if err := inside(b.ns(name).fd, func() error { return steerDevices(cpus) }); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// steerDevices has all devices of the network namespace that the thread is in receive on the given CPUs.
func steerDevices(cpus string) (err error) {
	fs, err := openSysfs()
	if err != nil {
		return fmt.Errorf("open the namespace's sysfs: %w", err)
	}
	defer fs.close()
	queues, err := filepath.Glob(fs.path("class/net/*/queues/rx-*"))
	if err != nil {
		return err
	}
	if len(queues) == 0 {
		return errors.New("the namespace's sysfs shows no device")
	}
	restore, err := fs.makeWritable()
	if err != nil {
		return fmt.Errorf("make the namespace's sysfs writable: %w", err)
	}
	defer func() { err = errors.Join(err, restore()) }()
	for _, queue := range queues {
		if err := writeSetting(filepath.Join(queue, "rps_cpus"), cpus); err != nil {
			return fmt.Errorf("set rps_cpus to %s: %w", cpus, err)
		}
	}
	return nil
}

// sysfs is that of a network namespace, mounted nowhere: what is at /sys shows another namespace's devices.
type sysfs struct{ context, mount int }

// openSysfs opens that of the network namespace that the thread is in.
func openSysfs() (sysfs, error) {
	context, err := unix.Fsopen("sysfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return sysfs{}, os.NewSyscallError("fsopen", err)
	}
	if err = os.NewSyscallError("fsconfig", unix.FsconfigCreate(context)); err == nil {
		var mount int
		if mount, err = unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, 0); err == nil {
			return sysfs{context, mount}, nil
		}
		err = os.NewSyscallError("fsmount", err)
	}
	unix.Close(context)
	return sysfs{}, err
}

func (s sysfs) close() {
	unix.Close(s.mount)
	unix.Close(s.context)
}

// path is that of a name in it, for the calling thread.
func (s sysfs) path(name string) string {
	return fmt.Sprintf("/proc/thread-self/fd/%d/%s", s.mount, name)
}

// makeWritable lifts what a container engine may have laid on it: a namespace has but one sysfs. Mounts that are read-only themselves, as
// the engine's own, stay so meanwhile.
func (s sysfs) makeWritable() (restore func() error, err error) {
	var state unix.Statfs_t
	if err := unix.Fstatfs(s.mount, &state); err != nil {
		return nil, os.NewSyscallError("fstatfs", err)
	}
	if state.Flags&unix.ST_RDONLY == 0 {
		return func() error { return nil }, nil
	}
	return func() error { return s.reconfigure("ro") }, s.reconfigure("rw")
}

func (s sysfs) reconfigure(flag string) error {
	err := unix.FsconfigSetFlag(s.context, flag)
	if err == nil {
		err = unix.FsconfigReconfigure(s.context)
	}
	return os.NewSyscallError("fsconfig", err)
}

// usableCPUs are the CPUs that this process may run on.
func usableCPUs() []int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	var cpus []int
	for cpu := 0; len(cpus) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}

// steering is the set of CPUs that packets are steered over, as a mask in the kernel's form; empty if there is only one CPU.
func steering(cpus []int) string {
	if len(cpus) < 2 {
		return ""
	}
	return cpuMask(cpus)
}

// cpuMask is a set of CPUs in the kernel's form: hexadecimal words of 32 CPUs, the highest first, separated by commas
// (bitmap_parse, lib/bitmap-str.c).
func cpuMask(cpus []int) string {
	const word = 32
	var words []uint32
	for _, cpu := range cpus {
		for len(words) <= cpu/word {
			words = append(words, 0)
		}
		words[cpu/word] |= 1 << (cpu % word)
	}
	text := make([]string, len(words))
	for i, w := range words {
		text[len(words)-1-i] = strconv.FormatUint(uint64(w), 16)
		if i < len(words)-1 {
			text[len(words)-1-i] = fmt.Sprintf("%08x", w)
		}
	}
	return strings.Join(text, ",")
}
