package doctor

import (
	"context"
	"os"

	"github.com/dsrlab/dsrlab/topologies/kind"
)

const (
	// needKind is what the substrate kind needs beyond what every lab does.
	needKind = "substrate kind"
	// usualCluster is how many nodes the largest cluster of labs 01 to 07 has, with its control plane. Labs of many workers say
	// themselves what they lack.
	usualCluster = 4
)

// Kind makes the checks of a kind cluster with nodes of an image (default kind.DefaultImage).
func Kind(ctx context.Context, image string) []Check {
	var checks []Check
	for _, c := range kind.Checks(image, usualCluster) {
		check := Check{Name: c.Name, Needed: needKind, State: OK}
		switch {
		case len(checks) > 0 && checks[0].State != OK:
			check.State, check.Seen = Skipped, "needs "+checks[0].Name
		case os.Geteuid() != 0:
			check.State, check.Seen = Skipped, "needs root"
		default:
			if err := c.Do(ctx); err != nil {
				check.State, check.Seen, check.How = Missing, err.Error(), c.How
			}
		}
		checks = append(checks, check)
	}
	return checks
}

// LackingForKind are the names of the checks for the substrate kind that are not ok.
func LackingForKind(checks []Check) []string { return lacking(checks, needKind) }
