package tables

import "fmt"

// Change is one entry of one map that is put or deleted. Adjacent changes of one map can be made in one batch.
type Change struct {
	// Map is the name of the map in C.
	Map    string
	Delete bool
	// Key and Value are of the types that package bpf has for the map, with exceptions: of slots, the first row and []DatapathRow, all
	// rows of a set; of service_counters, the value for each CPU; of affinities, []AffinityID, all that are to be deleted.
	Key, Value any
	// Wait: nothing is changed, but for QuarantineTime packets get by that may still use what was freed before.
	Wait bool
}

// String says what changes: put MAP KEY, delete MAP KEY, or wait.
func (c Change) String() string {
	switch {
	case c.Wait:
		return "wait"
	case c.Delete:
		return fmt.Sprintf("delete %s %+v", c.Map, c.Key)
	}
	return fmt.Sprintf("put %s %+v", c.Map, c.Key)
}
