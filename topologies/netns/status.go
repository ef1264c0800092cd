package netns

import (
	"errors"
	"fmt"
	"os"
)

// States of a network.
const (
	Running     = "running"
	Incomplete  = "incomplete"                // Up was killed, or is at work
	EarlierBoot = "left from an earlier boot" // only its files are there
)

// Status is a network as `status` lists it.
type Status struct {
	Name     string `json:"name"`
	Topology string `json:"topology"`
	State    string `json:"state"`
	Nodes    int    `json:"nodes"`
	Pods     int    `json:"pods"`
}

// List lists all networks of the state folder, sorted by name. Folders without a journal are no networks.
func List(stateDir string) ([]Status, error) {
	entries, err := os.ReadDir(stateDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	all := []Status{} // as JSON it is no null
	for _, e := range entries {
		nw := &Network{stateDir: stateDir, name: e.Name()}
		if !e.IsDir() || !journalOf(nw.Dir()).exists() {
			continue
		}
		nw, state, err := load(stateDir, e.Name())
		if err != nil {
			return nil, err
		}
		s := Status{Name: e.Name(), State: state}
		if nw != nil {
			s.Topology, s.Nodes, s.Pods = nw.plan.Name, len(nw.plan.Nodes), len(nw.plan.Pods)
		}
		all = append(all, s)
	}
	return all, nil
}
