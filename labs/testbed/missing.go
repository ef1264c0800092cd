package testbed

import (
	"errors"

	"github.com/cilium/ebpf"

	"github.com/dsrlab/dsrlab/topologies/netns"
)

// IsMissing reports whether the error is that the machine lacks something.
func IsMissing(err error) bool {
	var missing *netns.MissingError
	return errors.As(err, &missing) || errors.Is(err, ebpf.ErrNotSupported)
}
