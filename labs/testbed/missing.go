package testbed

import (
	"errors"

	"github.com/cilium/ebpf"

	"github.com/dsrlab/dsrlab/topologies/netns"
)

// IsMissing tells that the machine lacks something, rather than that something went wrong.
func IsMissing(err error) bool {
	var missing *netns.MissingError
	return errors.As(err, &missing) || errors.Is(err, ebpf.ErrNotSupported)
}
