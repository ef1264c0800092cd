package present

import (
	"io"

	"github.com/dsrlab/dsrlab/labs/console"
	"github.com/dsrlab/dsrlab/topologies"
)

// opening is the command that shows a topology of the catalogue, and what it prints.
type opening struct {
	plan    *topologies.Plan
	command string
	output  func(io.Writer)
}

// openingOf is empty for a topology that is not in the catalogue, which the command would not find by its name.
func openingOf(name string) opening {
	topology, err := topologies.Lookup(name)
	if err != nil {
		return opening{}
	}
	description := topology.Metadata.Description
	plan, err := topologies.PlanOf(topology)
	if err != nil {
		return opening{}
	}
	return opening{plan, "dsrlab topology show " + name, func(w io.Writer) { console.ShowTopology(w, description, plan) }}
}
