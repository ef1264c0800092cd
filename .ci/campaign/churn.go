package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

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

// flippable is how many endpoints of churned services flip changes: the first of each service stays ready, so that there always is one.
const flippable = churned * (churnedEndpoints - 1)

// flip makes endpoints of churned services ready, or no longer so, and returns how many it changed. They are numbered over all
// services, below flippable.
func flip(all []discoveryv1.EndpointSlice, numbers []int) int {
	first := slices.IndexFunc(all, func(s discoveryv1.EndpointSlice) bool { return s.Name == churnedName(0) })
	for _, n := range numbers {
		e := &all[first+n/(churnedEndpoints-1)].Endpoints[1+n%(churnedEndpoints-1)]
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
	return requests(tb, from, random, func(i int) (netip.AddrPort, bool) { return netip.AddrPortFrom(to, floodPort), i < count })
}

// callChurned sends requests to churned services, at a NodePort of an LB node each, until the channel is closed. It returns how many.
func (c *chaos) callChurned(done <-chan struct{}, seed uint64) (sent int, err error) {
	const burst = 64 // requests, then a pause: others use the CPUs, too
	lbs := c.LBNodes()
	err = requests(c.Testbed, "client", rand.New(rand.NewPCG(seed, 2)), func(i int) (netip.AddrPort, bool) {
		sent = i
		select {
		case <-done:
			return netip.AddrPort{}, false
		default:
		}
		if i%burst == burst-1 {
			time.Sleep(time.Millisecond)
		}
		return netip.AddrPortFrom(lbs[i%len(lbs)].Addresses[0].Addr(), uint16(churnedNodePort+i/len(lbs)%churned)), true
	})
	return sent, err
}

// requests sends UDP requests, each from another address and port of the client's network, as long as next returns true.
func requests(tb *testbed.Testbed, from string, random *rand.Rand, next func(i int) (to netip.AddrPort, ok bool)) error {
	source := tb.Plan().Nodes[slices.IndexFunc(tb.Plan().Nodes, func(n topologies.Node) bool { return n.Name == from })].Addresses[0].Addr().As4()
	return tb.Enter(from).Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return fmt.Errorf("flood: open raw socket: %w", err)
		}
		defer unix.Close(fd)
		start := random.Uint32()
		for i := 0; ; i++ {
			to, ok := next(i)
			if !ok {
				return nil
			}
			tuple := start + uint32(i)*2654435761 // visits all values once
			source[3] = byte(100 + tuple>>16%100)
			packet := datagram(source, to.Addr().As4(), uint16(tuple), to.Port(), nil)
			for {
				err := unix.Sendto(fd, packet, 0, &unix.SockaddrInet4{Addr: to.Addr().As4()})
				if err == nil {
					break
				}
				if err != unix.ENOBUFS {
					return fmt.Errorf("flood: %w", err)
				}
			}
		}
	})
}

// datagram is an IPv4 packet with a UDP datagram. The kernel fills in the IPv4 checksum, and UDP needs none.
func datagram(source, destination [4]byte, sourcePort, destinationPort uint16, payload []byte) []byte {
	const ipHeader, udpHeader = 20, 8
	p := make([]byte, ipHeader+udpHeader, ipHeader+udpHeader+len(payload))
	p[0], p[8], p[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(p[2:], uint16(cap(p)))
	copy(p[12:], source[:])
	copy(p[16:], destination[:])
	binary.BigEndian.PutUint16(p[20:], sourcePort)
	binary.BigEndian.PutUint16(p[22:], destinationPort)
	binary.BigEndian.PutUint16(p[24:], uint16(udpHeader+len(payload)))
	return append(p, payload...)
}
