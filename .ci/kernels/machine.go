package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// machine is a virtual machine that runs once: QEMU, with no disk, no network and nothing of the host's but its serial ports.
type machine struct {
	accelerator string // kvm, tcg (software alone, several times slower), or auto: kvm where it works
	image       string
	initramfs   string
	timeout     time.Duration
	echo        io.Writer // nil, or gets what the machine says while it says it
}

// patience is how long a machine with KVM may say nothing. One second is usual. There are hosts whose KVM can be opened but
// runs no common kernel: clouds that emulate it, some nested ones.
const patience = 30 * time.Second

// console is what a machine left.
type console struct {
	accelerator string
	kernel      []byte // the kernel's messages
	port        []byte // guest.Port
	problem     string // why the machine did not end by itself; empty if it did
}

// run boots the machine and waits until it powers off.
func (m machine) run(ctx context.Context, folder string) (console, error) {
	if m.accelerator != "auto" {
		return m.boot(ctx, folder, m.accelerator, m.timeout)
	}
	if kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err == nil {
		kvm.Close()
		c, err := m.boot(ctx, folder, "kvm", patience)
		if len(c.port) > 0 {
			return c, err
		}
	}
	return m.boot(ctx, folder, "tcg", m.timeout)
}

// boot runs QEMU with one accelerator. It ends a machine that says nothing for the time of silence or is not done within the
// timeout; and the machine ends with this process, however that does.
func (m machine) boot(ctx context.Context, folder, accelerator string, silence time.Duration) (console, error) {
	limited, stop := context.WithTimeoutCause(ctx, m.timeout, fmt.Errorf("not done within %s", m.timeout))
	defer stop()
	limited, cancel := context.WithCancelCause(limited)
	defer cancel(nil)
	kernelLog := filepath.Join(folder, "kernel.log")
	cmd := exec.CommandContext(limited, "qemu-system-x86_64",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", "q35", "-accel", acceleration(accelerator), "-cpu", "max", "-smp", "2", "-m", "2G",
		"-kernel", m.image, "-initrd", m.initramfs, "-append", "console=ttyS0 oops=panic panic=-1",
		"-serial", "file:"+kernelLog, "-serial", "stdio")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	tooQuiet := time.AfterFunc(silence, func() { cancel(fmt.Errorf("said nothing for %s", silence)) })
	defer tooQuiet.Stop()
	port := talk{began: tooQuiet.Stop, echo: m.echo}
	var complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &port, &complaint
	// The death of a thread counts as that of its process: this one must stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Run()
	if ctx.Err() != nil {
		return console{}, ctx.Err()
	}
	c := console{accelerator: accelerator, port: port.said.Bytes()}
	switch {
	case limited.Err() != nil:
		c.problem = context.Cause(limited).Error()
	case err != nil:
		return c, fmt.Errorf("run QEMU: %w: %s", err, bytes.TrimSpace(complaint.Bytes()))
	}
	if c.kernel, err = os.ReadFile(kernelLog); errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return c, err
}

// acceleration is what QEMU is told of an accelerator. TCG gets one thread for all CPUs: with one for each (seen with QEMU 7.2 and 8.0), a CPU
// may execute what another has overwritten since, and a kernel that changes its code while it runs, as static keys do, panics with
// "int3: 0000" (http://www.uwsg.indiana.edu/hypermail/linux/kernel/2307.0/03869.html).
func acceleration(accelerator string) string {
	if accelerator == "tcg" {
		return "tcg,thread=single"
	}
	return accelerator
}

// talk keeps what is written to it, and tells when that begins.
type talk struct {
	said  bytes.Buffer
	began func() bool
	echo  io.Writer
}

func (t *talk) Write(p []byte) (int, error) {
	t.began()
	if t.echo != nil {
		_, _ = t.echo.Write(p) // for a look only
	}
	return t.said.Write(p)
}
