package steps

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/labs/workload"
)

// checkCount returns an error if there is nothing to count.
func checkCount(count int) []error {
	if count <= 0 {
		return []error{errors.New("count: found less than 1 (want 1 or more)")}
	}
	return nil
}

// checkProtocol returns an error if a protocol is unknown.
func checkProtocol(p workload.Protocol) []error {
	if !slices.Contains([]workload.Protocol{workload.TCP, workload.UDP}, p) {
		return []error{fmt.Errorf("protocol: found %q (want tcp or udp)", p)}
	}
	return nil
}

// checkNode returns an error if no node is given.
func checkNode(field, node string) []error {
	if node == "" {
		return []error{fmt.Errorf("%s: missing (want a node)", field)}
	}
	return nil
}

// checkForge returns an error if an address can't be forged in a header.
func checkForge(forge string) []error {
	if a, err := netip.ParseAddr(forge); err != nil || !a.Is4() {
		return []error{fmt.Errorf("forge: found %q (want an IPv4 address)", forge)}
	}
	return nil
}
