// Package capability names the capabilities (capabilities(7)) that this process lacks although it is root's, as in a container, so that what
// the kernel refuses for want of one is not taken for something that the kernel can't do.
package capability

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Capability is one capability, by its number.
type Capability int

// What dsrlab and dsrd use.
const (
	NetAdmin Capability = unix.CAP_NET_ADMIN
	SysAdmin Capability = unix.CAP_SYS_ADMIN
	NetRaw   Capability = unix.CAP_NET_RAW // for packet sockets only
	// These two are what dsrd has in place of SysAdmin, which includes both.
	BPF     Capability = unix.CAP_BPF
	Perfmon Capability = unix.CAP_PERFMON
)

// String is its name without CAP_, as containers are given it.
func (c Capability) String() string {
	switch c {
	case NetAdmin:
		return "NET_ADMIN"
	case SysAdmin:
		return "SYS_ADMIN"
	case NetRaw:
		return "NET_RAW"
	case BPF:
		return "BPF"
	case Perfmon:
		return "PERFMON"
	}
	return fmt.Sprintf("%d", int(c))
}

// Lacking are those of the needed ones that this process lacks. Where they can't be read, none are.
func Lacking(needed ...Capability) []Capability {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return nil
	}
	return lackingOf(uint64(data[1].Effective)<<32|uint64(data[0].Effective), needed)
}

func lackingOf(effective uint64, needed []Capability) []Capability {
	var lacking []Capability
	for _, c := range needed {
		accepted := uint64(1) << c
		if c == BPF || c == Perfmon {
			accepted |= 1 << SysAdmin
		}
		if effective&accepted == 0 {
			lacking = append(lacking, c)
		}
	}
	return lacking
}

// Without says which capabilities a process does not have, and how a container gets them.
func Without(lacking []Capability) string {
	var names, options []string
	for _, c := range lacking {
		names, options = append(names, "CAP_"+c.String()), append(options, "--cap-add "+c.String())
	}
	noun, last := "capability", len(names)-1
	if last > 0 {
		noun, names = "capabilities", []string{strings.Join(names[:last], ", "), names[last]}
	}
	return fmt.Sprintf("the %s %s, which this process does not have; in a container, run it with %s", noun, strings.Join(names, " and "),
		strings.Join(options, " "))
}

// Refused reports whether the kernel refused something for want of a permission.
func Refused(err error) bool { return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) }

// How says how to get what failed with err. If that was for want of a permission, it is the permission that is missing; else it is how.
func How(err error, how string) string {
	return howWithout(err, how, Lacking(NetAdmin, SysAdmin, NetRaw))
}

func howWithout(err error, how string, lacking []Capability) string {
	switch {
	case !Refused(err):
		return how
	case len(lacking) > 0:
		return Without(lacking)
	}
	return "a permission: the process has all capabilities that are needed, and yet a user namespace or a security policy " +
		"(seccomp, AppArmor, SELinux, lockdown) refuses it; in a container, run it with --privileged"
}

// Explain adds to an error which of the needed capabilities this process lacks, if the kernel refused something for want of a permission.
func Explain(err error, needed ...Capability) error { return explain(err, Lacking(needed...)) }

func explain(err error, lacking []Capability) error {
	if !Refused(err) || len(lacking) == 0 {
		return err
	}
	return &refusedError{err, lacking}
}

// refusedError has a message of its own: those of the ebpf package advise a programmer.
type refusedError struct {
	err     error
	lacking []Capability
}

func (e *refusedError) Error() string {
	return "operation not permitted: it needs " + Without(e.lacking)
}
func (e *refusedError) Unwrap() error { return e.err }
