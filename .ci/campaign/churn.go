package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
)

func cloneSlices(all []discoveryv1.EndpointSlice) []discoveryv1.EndpointSlice {
	clones := make([]discoveryv1.EndpointSlice, len(all))
	for i := range all {
		all[i].DeepCopyInto(&clones[i])
	}
	return clones
}

// flip makes endpoints of churned services ready, or no longer so, and returns how many it changed. Endpoints are numbered over all
// services.
func flip(all []discoveryv1.EndpointSlice, numbers []int) int {
	first := slices.IndexFunc(all, func(s discoveryv1.EndpointSlice) bool { return s.Name == churnedName(0) })
	for _, n := range numbers {
		e := &all[first+n/churnedEndpoints].Endpoints[n%churnedEndpoints]
		ready := !*e.Conditions.Ready
		e.Conditions.Ready = &ready
	}
	return len(numbers)
}

func churnedName(i int) string { return fmt.Sprintf("churned-%d", i) }

// floodPort is one of the service's ports at which no pod listens.
const floodPort = 8080

// flood sends UDP requests to the service, each from another address and port of the client's network. Nobody answers them.
func flood(tb *testbed.Testbed, from string, to netip.Addr, count int, random *rand.Rand) error {
	source := tb.Plan().Nodes[slices.IndexFunc(tb.Plan().Nodes, func(n topologies.Node) bool { return n.Name == from })].Addresses[0].Addr().As4()
	return tb.Enter(from).Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return fmt.Errorf("flood: open raw socket: %w", err)
		}
		defer unix.Close(fd)
		target := &unix.SockaddrInet4{Addr: to.As4()}
		start := random.Uint32()
		for i := range uint32(count) {
			tuple := start + i*2654435761 // visits all values once
			source[3] = byte(100 + tuple>>16%100)
			packet := datagram(source, to.As4(), uint16(tuple), floodPort)
			for {
				err := unix.Sendto(fd, packet, 0, target)
				if err == nil {
					break
				}
				if err != unix.ENOBUFS {
					return fmt.Errorf("flood: %w", err)
				}
			}
		}
		return nil
	})
}

// datagram is an IPv4 packet with an empty UDP datagram. The kernel fills in the IPv4 checksum, and UDP needs none.
func datagram(source, destination [4]byte, sourcePort, destinationPort uint16) []byte {
	const ipHeader, udpHeader = 20, 8
	p := make([]byte, ipHeader+udpHeader)
	p[0], p[8], p[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(p[2:], ipHeader+udpHeader)
	copy(p[12:], source[:])
	copy(p[16:], destination[:])
	binary.BigEndian.PutUint16(p[20:], sourcePort)
	binary.BigEndian.PutUint16(p[22:], destinationPort)
	binary.BigEndian.PutUint16(p[24:], udpHeader)
	return p
}
