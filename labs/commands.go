package labs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
)

// Commands returns the commands that show by hand what the trial shows: first the one that builds the topology, then one for
// each step that has one. Where `dsrlab up` can't build the variant there is only the command that runs the lab.
func (t *Trial) Commands(lab *Lab, plan *topologies.Plan) []string {
	var all []string
	for i := range t.Phase.Steps {
		s := &t.Phase.Steps[i]
		if command := s.Command(t.Variant, plan); command != "" && s.TakenBy(t.Variant) && !slices.Contains(all, command) {
			all = append(all, command)
		}
	}
	mode := upMode(t.Variant)
	if mode == "" || len(all) == 0 {
		return []string{"sudo dsrlab lab run " + lab.Metadata.Name}
	}
	up := fmt.Sprintf("sudo dsrlab up -f %s --mode %s", lab.Spec.Topology, mode)
	if t.Variant.Fault != dataplane.FaultNone {
		up += " --fault " + string(t.Variant.Fault)
	}
	if len(t.Variant.Obstacles) > 0 {
		up += " --obstacle " + strings.Join(t.Variant.Obstacles, ",")
	}
	return append([]string{up}, all...)
}

// upMode returns the variant's value of `dsrlab up --mode`; empty if the variant differs in more than the mode.
func upMode(v testbed.Variant) string {
	if v.Edge != "" || v.Policy != "" || len(v.Pods) > 0 || v.SpoofProtection {
		return ""
	}
	if v.DataPath == testbed.DataPathDSRLab {
		return string(v.Mode)
	}
	return string(v.DataPath)
}
