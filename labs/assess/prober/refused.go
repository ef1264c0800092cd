package prober

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/internal/capability"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// XDPError means that a node's outside device has an XDP program: it takes packets before a probe could be seen.
type XDPError struct {
	Node, Device string
}

func (e *XDPError) Error() string {
	return fmt.Sprintf("%s of %s has an XDP program, which takes packets before a probe could be seen (want none while it is probed)", e.Device, e.Node)
}

// lacking is the error of a station that could not be opened: a *netns.MissingError if the machine lacks what it needs.
func lacking(err error) error {
	if capability.Refused(err) || errors.Is(err, unix.EAFNOSUPPORT) {
		return &netns.MissingError{Feature: "packet sockets", How: capability.How(err, "a kernel with CONFIG_PACKET"), Err: err}
	}
	return err
}
