// Package doctor finds out whether the labs can run on this machine, by doing in a scratch network namespace what they do.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"
)

// State is the outcome of a check.
type State string

const (
	OK      State = "ok"
	Missing State = "missing"
	Skipped State = "skipped" // something that it needs is missing
)

// The labs' needs, from few to many.
const (
	needAll    = "every lab"
	needShaped = "labs with shaped links"
	needBase   = "labs with kube-proxy's rules or a translating fabric"
	needNone   = "no lab" // told for information, or for an option of a lab
)

// Check is one thing that the machine has or lacks.
type Check struct {
	Name   string `json:"name"`
	Needed string `json:"neededFor"`
	State  State  `json:"state"`
	Seen   string `json:"seen,omitempty"` // the kernel's answer
	How    string `json:"how,omitempty"`  // to get what is missing
}

// Verdict says whether a lab can run.
type Verdict struct {
	Lab     string   `json:"lab"`
	CanRun  bool     `json:"canRun"`
	Missing []string `json:"missing,omitempty"`
}

// probe is one check and how it is made. It runs in the scratch namespace, after those before it.
type probe struct {
	name, needed, how string
	do                func(*scratch) error
}

// Run makes all checks. What they make is gone when it returns.
func Run(ctx context.Context) []Check {
	if os.Geteuid() != 0 {
		return withoutRoot()
	}
	var checks []Check
	done := make(chan struct{})
	go func() { // the thread stays in the scratch namespace, and dies with the goroutine
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
		namespace.State, namespace.Seen, namespace.How = Missing, err.Error(), "CAP_SYS_ADMIN, and a kernel with CONFIG_NET_NS"
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
	return Missing, err.Error(), p.how
}

// needsError says that a probe could not be made, because an earlier one failed.
type needsError string

func (e needsError) Error() string { return "needs " + string(e) }

// Lab is what a lab needs beyond what every lab does.
type Lab struct {
	Name string
	// Shaped: its links have rates. Translates: something in it translates addresses or filters by nftables.
	Shaped, Translates bool
}

// Judge says of each lab whether it can run, and what is missing if not. It is pure.
func Judge(checks []Check, labs []Lab) []Verdict {
	var verdicts []Verdict
	for _, l := range labs {
		needs := []string{needAll}
		if l.Translates {
			needs = append(needs, needBase)
		}
		if l.Shaped {
			needs = append(needs, needShaped)
		}
		missing := lacking(checks, needs...)
		verdicts = append(verdicts, Verdict{Lab: l.Name, CanRun: len(missing) == 0, Missing: missing})
	}
	return verdicts
}

// lacking are the names of the checks for these needs that are not ok.
func lacking(checks []Check, needs ...string) []string {
	var names []string
	for _, c := range checks {
		if c.State != OK && slices.Contains(needs, c.Needed) {
			names = append(names, c.Name)
		}
	}
	return names
}
