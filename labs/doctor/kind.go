package doctor

import (
	"context"
	"os"
	"slices"

	"github.com/dsrlab/dsrlab/topologies/kind"
)

const (
	// needKind is for what the substrate kind needs beyond the needs of every lab.
	needKind = "substrate kind"
	// usualCluster is the number of nodes of the largest cluster of labs 01 to 07, with its control plane. Labs with many workers
	// report themselves what they lack.
	usualCluster = 4
)

// Kind performs the checks for a kind cluster whose nodes run an image (default kind.DefaultImage).
func Kind(ctx context.Context, image string) []Check {
	var checks []Check
	for _, c := range kind.Checks(image, usualCluster) {
		check := Check{Name: c.Name, Needed: needKind, State: OK}
		missing := slices.IndexFunc(checks, func(before Check) bool { return before.State != OK && slices.Contains(c.Needs, before.Name) })
		switch {
		case missing >= 0:
			check.State, check.Seen = Skipped, "needs "+checks[missing].Name
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

// LackingForKind returns the names of the checks for the substrate kind that are not ok.
func LackingForKind(checks []Check) []string { return lacking(checks, needKind) }
