package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// labTarget names the lab that a command is about.
type labTarget struct {
	name, stateDir string
}

func (l *labTarget) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&l.name, "name", "", "name of the lab (default: the only one)")
	cmd.Flags().StringVar(&l.stateDir, "state-dir", netns.DefaultStateDir, "where labs are kept")
}

// resolve is the lab's name: the one that was given, or that of the only lab.
func (l *labTarget) resolve() (string, error) {
	if l.name != "" {
		return l.name, nil
	}
	all, err := netns.List(l.stateDir)
	if err != nil {
		return "", err
	}
	var names []string
	for _, s := range all {
		names = append(names, s.Name)
	}
	switch len(names) {
	case 0:
		return "", usageError(errors.New("no lab stands; `dsrlab up` builds one"))
	case 1:
		return names[0], nil
	}
	return "", usageError(fmt.Errorf("several labs stand: name one of %s by --name", strings.Join(names, ", ")))
}

// stand takes hold of the lab.
func (l *labTarget) stand() (*testbed.Testbed, error) {
	if err := requireRoot("entering a lab"); err != nil {
		return nil, err
	}
	name, err := l.resolve()
	if err != nil {
		return nil, err
	}
	standing, err := testbed.Attach(l.stateDir, name)
	if errors.Is(err, netns.ErrNotFound) {
		return nil, usageError(err)
	}
	return standing, err
}
