package prober

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"

	diagnosis "github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/workload/probe"
)

// What a node cannot send is said once of each pair, and is no reason to try what another pair has tried.
func TestObserveTunnelThatCannotBeSent(t *testing.T) {
	m, site := newModel("a", "b")
	m.refuse = func(from string, p probe.Probe) error {
		if from == "b" && p.Kind == probe.KindGeneve && p.Frontend.IsValid() {
			return errors.New("no buffer space available")
		}
		return nil
	}
	o := m.observe(t, site)
	for _, p := range o.Tunnel {
		assert.Equal(t, "a", p.From)
	}
	assert.Equal(t, []diagnosis.Unread{{Node: "b", What: "probe to a", Why: "no buffer space available"}}, o.Unread)
}
