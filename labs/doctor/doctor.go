// Package doctor finds out whether the labs can run on this machine, by trying what they do in a scratch network namespace.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/internal/capability"
)

// State is the outcome of a check.
type State string

const (
	OK      State = "ok"
	Missing State = "missing"
	Skipped State = "skipped" // not made, because an earlier check that it needs failed
)

// What needs a check, in increasing order.
const (
	needAll    = "every lab"
	needShaped = "labs with shaped links"
	needBase   = "labs with kube-proxy's rules or a translating fabric"
	needNone   = "no lab" // reported for information, or needed by an option of a lab
)

// Check is the result of one check.
type Check struct {
	Name   string `json:"name"`
	Needed string `json:"neededFor"`
	State  State  `json:"state"`
	Seen   string `json:"seen,omitempty"` // the kernel's answer
	How    string `json:"how,omitempty"`  // how to get what is missing
}

// Verdict reports whether a lab can run.
type Verdict struct {
	Lab     string   `json:"lab"`
	CanRun  bool     `json:"canRun"`
	Missing []string `json:"missing,omitempty"`
	// OnlyNetns says what of the lab a kind cluster can't do, on any machine; empty where that is not what is judged.
	OnlyNetns string `json:"onlyNetns,omitempty"`
}

// probe is one check. Probes run in the scratch namespace one after the other, and may use what earlier ones have created.
type probe struct {
	name, needed, how string
	do                func(*scratch) error
}

// Run performs all checks. Everything that they create is removed before it returns.
func Run(ctx context.Context) []Check {
	if os.Geteuid() != 0 {
		return withoutRoot()
	}
	var checks []Check
	done := make(chan struct{})
	go func() { // the thread stays in the scratch namespace and ends with the goroutine
		defer close(done)
		runtime.LockOSThread()
		checks = inScratch(ctx)
	}()
	<-done
	return checks
}

func withoutRoot() []Check {
	checks := []Check{{Name: "root", Needed: needAll, State: Missing, Seen: fmt.Sprint("user ", os.Geteuid()), How: "run it with sudo"}}
	for _, p := range probes() {
		checks = append(checks, Check{Name: p.name, Needed: p.needed, State: Skipped, Seen: "needs root"})
	}
	return checks
}

func inScratch(ctx context.Context) []Check {
	checks := []Check{{Name: "root", Needed: needAll, State: OK}}
	namespace := Check{Name: "network namespaces", Needed: needAll, State: OK}
	err := unix.Unshare(unix.CLONE_NEWNET)
	if err != nil {
		namespace.State, namespace.Seen, namespace.How = Missing, err.Error(), capability.How(err, "a kernel with CONFIG_NET_NS")
	}
	checks = append(checks, namespace)
	s := &scratch{}
	defer s.close()
	for _, p := range probes() {
		c := Check{Name: p.name, Needed: p.needed}
		switch {
		case err != nil:
			c.State, c.Seen = Skipped, "needs network namespaces"
		case ctx.Err() != nil:
			c.State, c.Seen = Skipped, "interrupted"
		default:
			c.State, c.Seen, c.How = judge(p, p.do(s))
		}
		checks = append(checks, c)
	}
	return checks
}

func judge(p probe, err error) (State, string, string) {
	var needs needsError
	switch {
	case err == nil:
		return OK, "", ""
	case errors.As(err, &needs):
		return Skipped, err.Error(), ""
	}
	return Missing, err.Error(), capability.How(err, p.how)
}

// needsError reports that a probe could not be made because an earlier one failed.
type needsError string

func (e needsError) Error() string { return "needs " + string(e) }

// Lab holds what a lab needs beyond the needs of every lab.
type Lab struct {
	Name string
	// Shaped reports whether its links have rates, Translates whether it translates or filters by nftables.
	Shaped, Translates bool
	// OnlyNetns says what of it needs nodes that are network namespaces; empty: nothing.
	OnlyNetns string
}

// Judge returns a verdict for each lab: whether it can run, on nodes that are namespaces or with onKind on those of a kind cluster, and
// what is missing if not. It is pure.
func Judge(checks []Check, labs []Lab, onKind bool) []Verdict {
	var verdicts []Verdict
	for _, l := range labs {
		needs := []string{needAll}
		if l.Translates {
			needs = append(needs, needBase)
		}
		if l.Shaped {
			needs = append(needs, needShaped)
		}
		v := Verdict{Lab: l.Name}
		if onKind {
			needs = append(needs, needKind)
			v.OnlyNetns = l.OnlyNetns
		}
		v.Missing = lacking(checks, needs...)
		v.CanRun = len(v.Missing) == 0 && v.OnlyNetns == ""
		verdicts = append(verdicts, v)
	}
	return verdicts
}

// lacking returns the names of the checks for these needs that are not ok.
func lacking(checks []Check, needs ...string) []string {
	var names []string
	for _, c := range checks {
		if c.State != OK && slices.Contains(needs, c.Needed) {
			names = append(names, c.Name)
		}
	}
	return names
}
