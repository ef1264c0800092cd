package main

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/dsrlab/dsrlab/.ci/kernels/guest"
	"github.com/dsrlab/dsrlab/results"
)

const (
	demoName   = "demo dsr"
	demoFolder = "/lab"
	// demoTimeout is many times what the demo takes under emulation.
	demoTimeout = 15 * time.Minute
	// demoScale is the smallest there is. An emulated machine carries what the host leaves it, 0.3 to 1.2 Gbit/s within minutes: at the largest
	// scale that it carries at the beginning, later measurements are of the host. Here it is kernels that are tested.
	demoScale = "1/20"
	// demoOff and demoOnly leave out the demo, and all else.
	demoOff, demoOn, demoOnly = "no", "yes", "only"
)

// demoPrograms are the commands that the demo consists of.
func demoPrograms() []string { return []string{"dsrlab", "labpod"} }

// demoClaims are the claims that the demo checks.
func demoClaims() []string {
	return []string{"SNAT-1", "SNAT-2", "DSR-1", "DSR-3", "THR-1", "THR-2"}
}

// demoTimed are those of its claims that are about rates.
func demoTimed() []string { return []string{"THR-1", "THR-2"} }

// demoPlan is what the machine runs: summaries come on standard output, the story on standard error.
func demoPlan() *guest.Demo {
	return &guest.Demo{
		Name:    demoName,
		Command: []string{path.Join(demoFolder, "dsrlab"), "demo", "dsr", "-o", "json", "--runs", "/tmp/runs", "--scale", demoScale},
		Timeout: demoTimeout,
	}
}

// addDemo judges the demo: every claim must be reproduced, and counts like a test. Where the machine carried less than the smallest rates ask
// for, which emulation does while the host is busy, claims about rates say nothing of a kernel: they are skipped.
func (v *verdict) addDemo(run guest.Run) {
	fail := func(what, text string) {
		v.failures = append(v.failures, finding{demoName, what, text})
	}
	if !run.Ended {
		fail("did not end", lastLines(run.Output, 60))
		return
	}
	var summaries []results.Summary
	if err := json.Unmarshal([]byte(run.Result), &summaries); err != nil {
		fail(fmt.Sprintf("no summaries, exit status %d", run.Status), lastLines(run.Output, 60))
		return
	}
	failures, passed := len(v.failures), v.passed
	var claims []results.ClaimVerdict
	for _, s := range summaries {
		claims = append(claims, s.Claims...)
	}
	slow, skipped := tooSlow(run.Output), len(v.skipped)
	for _, id := range demoClaims() {
		i := slices.IndexFunc(claims, func(c results.ClaimVerdict) bool { return c.ID == id })
		switch {
		case i < 0:
			fail(id+" has no verdict", "")
		case claims[i].Verdict != results.Reproduced && slow && slices.Contains(demoTimed(), id):
			v.skipped = append(v.skipped, finding{demoName, fmt.Sprintf("%s: %s, on a machine that carries less than it asks for", id, claims[i].Verdict), claims[i].Evidence})
		case claims[i].Verdict != results.Reproduced:
			fail(fmt.Sprintf("%s: %s", id, claims[i].Verdict), claims[i].Evidence)
		default:
			v.passed++
		}
	}
	v.demo = fmt.Sprintf("%d of %d, scale %s", v.passed-passed, len(demoClaims()), scaleOf(run.Output))
	explained := skipped < len(v.skipped) && !slices.ContainsFunc(summaries, failedOtherwise)
	if run.Status != 0 && failures == len(v.failures) && !explained {
		fail(fmt.Sprintf("exit status %d", run.Status), "")
	}
	if failures < len(v.failures) {
		v.failures[len(v.failures)-1].text = strings.TrimSpace(v.failures[len(v.failures)-1].text + "\n" + lastLines(run.Output, 200))
	}
}

// failedOtherwise reports whether a lab did not pass for more than its claims about rates: it may not have been taken down.
func failedOtherwise(s results.Summary) bool {
	return s.Result != results.Passed && !slices.ContainsFunc(s.Claims, func(c results.ClaimVerdict) bool {
		return c.Verdict != results.Reproduced && slices.Contains(demoTimed(), c.ID)
	})
}

// tooSlow reports whether the demo's story says so of its machine, whatever the width at which its lines were wrapped.
func tooSlow(story []byte) bool {
	return strings.Contains(strings.Join(strings.Fields(string(story)), " "), "which is less than the lab asks for")
}

var dividedBy = regexp.MustCompile(`all rates (?:are )?divided by (\d+)`)

// scaleOf is the last scale that the demo's story tells of, whatever the width at which its lines were wrapped; 1 if it tells of none.
func scaleOf(story []byte) string {
	found := dividedBy.FindAllStringSubmatch(strings.Join(strings.Fields(string(story)), " "), -1)
	if len(found) == 0 {
		return "1"
	}
	return "1/" + found[len(found)-1][1]
}
