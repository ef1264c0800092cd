package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// testbedTarget names the testbed that a command is about.
type testbedTarget struct {
	name, stateDir string
}

func (t *testbedTarget) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.name, "name", "", "name of the testbed (default: the only one)")
	cmd.Flags().StringVar(&t.stateDir, "state-dir", netns.DefaultStateDir, "where testbeds are kept")
}

// resolve is the testbed's name: the one that was given, or that of the only one that runs.
func (t *testbedTarget) resolve() (string, error) {
	all, err := netns.List(t.stateDir)
	if err != nil {
		return "", err
	}
	running := slices.DeleteFunc(slices.Clone(all), func(s netns.Status) bool { return s.State != netns.Running })
	if len(running) == 0 {
		running = all // for the reason why it can't be used
	}
	return t.oneOf(running)
}

// oneOf is the name that was given, or that of the only testbed.
func (t *testbedTarget) oneOf(all []netns.Status) (string, error) {
	if t.name != "" {
		return t.name, nil
	}
	var names []string
	for _, s := range all {
		names = append(names, s.Name)
	}
	switch len(names) {
	case 0:
		return "", usageError(errors.New("found no testbed (want one: `dsrlab up` builds it)"))
	case 1:
		return names[0], nil
	}
	return "", usageError(fmt.Errorf("found several testbeds (want --name with one of %s)", strings.Join(names, ", ")))
}

// attach takes hold of the testbed.
func (t *testbedTarget) attach() (*testbed.Testbed, error) {
	if err := requireRoot("entering a testbed"); err != nil {
		return nil, err
	}
	name, err := t.resolve()
	if err != nil {
		return nil, err
	}
	tb, err := testbed.Attach(t.stateDir, name)
	var broken *netns.BrokenError
	if errors.Is(err, netns.ErrNotFound) || errors.As(err, &broken) {
		return nil, usageError(err)
	}
	return tb, err
}
