// Package benchmark measures what BPF programs cost per packet, by BPF_PROG_TEST_RUN through a wrapper that restores the packet
// before each repetition and gives it the next flow's address and port.
package benchmark

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Hook is the kind of a program.
type Hook string

const (
	TC  Hook = "tc"
	XDP Hook = "xdp"
)

// Job is what is measured.
type Job struct {
	Hook    Hook
	Program *ebpf.Program // nil: the empty program
	Frame   []byte        // of even length, at most 256 bytes
	// Flows is how many tuples there are, a power of two: repetition after repetition the 32 bits at AddressOffset and the port at
	// PortOffset of the frame count up.
	Flows                     uint32
	AddressOffset, PortOffset int
}

// Bench runs jobs. Close it.
type Bench struct {
	objects restoreObjects
}

// New loads the wrapper.
func New() (*Bench, error) {
	b := &Bench{}
	if err := loadRestoreObjects(&b.objects, nil); err != nil {
		return nil, fmt.Errorf("load benchmark: %w", err)
	}
	for key := range uint64(b.objects.YardstickEntries.MaxEntries()) {
		if err := b.objects.YardstickEntries.Put(key, restoreYardstickValue{Words: [8]uint64{key}}); err != nil {
			return nil, errors.Join(fmt.Errorf("load benchmark: fill the yardstick: %w", err), b.Close())
		}
	}
	return b, nil
}

// yardstickLength is how many lookups and copies one repetition of the yardstick makes, as bpf/restore.bpf.c has it.
const yardstickLength = 16

// Yardstick returns the program of the hook whose cost is the yardstick: yardstickLength hash lookups, each with a copy of 64 bytes.
func (b *Bench) Yardstick(h Hook) *ebpf.Program {
	if h == XDP {
		return b.objects.YardstickXdp
	}
	return b.objects.YardstickTc
}

// Close frees the wrapper.
func (b *Bench) Close() error { return b.objects.Close() }

// Adjust are programs that only make room of 50 bytes, as a tunnel does.
func (b *Bench) Adjust(h Hook) *ebpf.Program {
	if h == XDP {
		return b.objects.AdjustXdp
	}
	return b.objects.AdjustTc
}

// Once runs a job, repeated, and returns the time of one repetition, the wrapper's own included.
func (b *Bench) Once(j Job, repetitions int) (time.Duration, error) {
	wrapper, target, empty := b.objects.RestoreTc, b.objects.TargetTc, b.objects.EmptyTc
	if j.Hook == XDP {
		wrapper, target, empty = b.objects.RestoreXdp, b.objects.TargetXdp, b.objects.EmptyXdp
	}
	program := j.Program
	if program == nil {
		program = empty
	}
	job := restoreJob{
		Size: uint32(len(j.Frame)), Flows: j.Flows, AddressOffset: uint32(j.AddressOffset), PortOffset: uint32(j.PortOffset),
	}
	if len(j.Frame) > len(job.Frame) || len(j.Frame)%2 != 0 || j.Flows&(j.Flows-1) != 0 {
		return 0, fmt.Errorf("benchmark: frame of %d bytes, %d flows: want at most %d and even, and a power of two",
			len(j.Frame), j.Flows, len(job.Frame))
	}
	copy(job.Frame[:], j.Frame)
	if err := b.objects.Jobs.Put(uint32(0), job); err != nil {
		return 0, fmt.Errorf("benchmark: %w", err)
	}
	if err := target.Put(uint32(0), program); err != nil {
		return 0, fmt.Errorf("benchmark: %w", err)
	}
	_, each, err := wrapper.Benchmark(j.Frame, repetitions, nil)
	if err != nil {
		return 0, fmt.Errorf("benchmark: %w", err)
	}
	return each, nil
}

// NewTuples is how many clients there are where every packet begins a flow.
const NewTuples = 1 << 22

// Net is what a job costs beyond the wrapper and the empty program.
type Net struct {
	Min    float64 `json:"net_ns_min"`    // nanoseconds per packet
	Median float64 `json:"net_ns_median"` // nanoseconds per packet
	// Yardsticks is Min as a multiple of what one hash lookup with a copy of 64 bytes took in the same run, which travels between machines.
	Yardsticks float64 `json:"yardsticks"`
}

// Measure runs the empty program, the yardstick and the job in turns, on one core.
func (b *Bench) Measure(j Job, runs, repetitions int) (Net, error) {
	release, err := pin()
	if err != nil {
		return Net{}, err
	}
	defer release()
	empty, yardstick := j, j
	empty.Program, yardstick.Program = nil, b.Yardstick(j.Hook)
	jobs := []Job{empty, yardstick, j}
	times := make([][]float64, len(jobs))
	for range runs {
		for i, job := range jobs {
			each, err := b.Once(job, repetitions)
			if err != nil {
				return Net{}, err
			}
			times[i] = append(times[i], float64(each.Nanoseconds()))
		}
	}
	none := slices.Min(times[0])
	one := (slices.Min(times[1]) - none) / yardstickLength
	net := Net{Min: slices.Min(times[2]) - none, Median: median(times[2]) - median(times[0])}
	if one <= 0 {
		return Net{}, fmt.Errorf("benchmark: the yardstick took no longer than the empty program (%g ns)", none)
	}
	net.Yardsticks = net.Min / one
	return net, nil
}

func median(values []float64) float64 {
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// pin keeps the calling goroutine on the core that it runs on until release is called.
func pin() (release func(), err error) {
	runtime.LockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("benchmark: read CPU affinity: %w", err)
	}
	for cpu := range before.Count() * 64 {
		if before.IsSet(cpu) {
			one.Set(cpu) // the last one: the first has most interrupts
			if cpu > 0 {
				one.Zero()
				one.Set(cpu)
			}
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("benchmark: pin to a core: %w", err)
	}
	return func() {
		_ = unix.SchedSetaffinity(0, &before)
		runtime.UnlockOSThread()
	}, nil
}
