package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// namespaceDir is where named namespaces are.
const namespaceDir = "/run/netns"

// lookAtJournals looks whether all that is there of the campaign's testbeds is named by their journals: whatever a command was doing when
// it ended, the entry was written before.
func (c *crash) lookAtJournals() {
	c.looks++
	made, err := c.made()
	if err != nil {
		c.report.problem("look at journals: %v", err)
		return
	}
	var journals [][]byte
	files, _ := filepath.Glob(filepath.Join(c.state, "*", "journal.jsonl")) // the pattern is valid
	for _, file := range files {
		document, err := os.ReadFile(file)
		if err != nil {
			c.report.problem("look at journals: %v", err)
			return
		}
		journals = append(journals, document)
	}
	missing := unlisted(made, journals)
	if len(missing) == 0 {
		return
	}
	c.unlisted++
	c.known = append(c.known, missing...) // so that one fault is one problem
	what := fmt.Sprintf("no journal names %s, after %s", strings.Join(missing, ", "), c.history[len(c.history)-1])
	c.report.problem("%s", what)
	c.say("crash: %s", what)
}

// made are the namespaces of testbeds and the mounts below the state folder that are there, but for those that are known.
func (c *crash) made() ([]string, error) {
	entries, err := os.ReadDir(namespaceDir)
	if err != nil {
		return nil, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var all []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "dsrlab-") {
			all = append(all, e.Name())
		}
	}
	all = append(all, mountsBelow(c.state, string(mounts))...)
	return slices.DeleteFunc(all, func(name string) bool { return slices.Contains(c.known, name) }), nil
}

// mountsBelow are the mount points below a folder, of a mountinfo (proc_pid_mountinfo(5)).
func mountsBelow(dir, mountinfo string) []string {
	var all []string
	for line := range strings.Lines(mountinfo) {
		const mountPoint = 4
		if fields := strings.Fields(line); len(fields) > mountPoint && strings.HasPrefix(fields[mountPoint], dir+"/") {
			all = append(all, fields[mountPoint])
		}
	}
	return all
}

// unlisted are those names of namespaces and mounts that no journal has.
func unlisted(names []string, journals [][]byte) []string {
	listed := make(map[string]bool)
	for line := range bytes.Lines(bytes.Join(journals, []byte("\n"))) {
		var entry struct{ Kind, Name string }
		if json.Unmarshal(line, &entry) == nil && (entry.Kind == "namespace" || entry.Kind == "mount") {
			listed[entry.Name] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return listed[name] })
}

func (c *crash) journalOutcome() outcome {
	return outcome{
		Case: "what is there after each of them", Tried: c.looks, Unit: "comparisons with the journals", Failed: c.unlisted,
		Seen: "nothing: `down` finds all of it", Why: "a journal's entry is written before what it names is made",
	}
}
