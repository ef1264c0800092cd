package dataplane

import "github.com/dsrlab/dsrlab/dataplane/tables"

// What Load and Apply are given, and what of it planning must know without a kernel: see package tables.
type (
	State       = tables.State
	Node        = tables.Node
	NodeAddress = tables.NodeAddress
	Pod         = tables.Pod
	Sizes       = tables.Sizes
	MapUsage    = tables.MapUsage
)
