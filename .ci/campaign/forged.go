package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/dataplane"
)

const (
	genevePort = 6081
	// echoPort is the one at which the pods take datagrams, floodPort's target.
	echoPort = 8080
	forged   = "forged"
	genuine  = "genuine"
)

// forgedSender sends pod nodes what LB nodes send them, from addresses that no node has. What an LB node's address sends instead must
// arrive: else nothing would be shown.
func forgedSender(ctx context.Context, c *chaos, t *traffic) (bound int, err error) {
	const packets = 200
	t.open(ctx, openers)
	pod := c.Plan().Pods[c.random.IntN(len(c.Plan().Pods))]
	node := c.Plan().Node(pod.Node)
	got, err := receiveIn(c, pod.Name)
	if err != nil {
		return 0, err
	}
	defer got.Close()
	inner := func(word string, number int) []byte {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 168, 1, 202}), uint16(20000+number))
		return geneve(netip.AddrPortFrom(c.to.Addr(), floodPort), from, netip.AddrPortFrom(pod.Addresses[0], echoPort), []byte(word))
	}
	to := node.Addresses[0].Addr()

	// From an LB node, until it arrives: a datagram may be lost.
	lb := c.LBNodes()[0]
	err = c.awaitTrue(ctx, "what an LB node sends reaches "+pod.Name, func() (bool, error) {
		return got.genuine.Load() > 0, sendRaw(c.target, lb.Name, []netip.Addr{lb.Addresses[0].Addr()}, to, func(i int) []byte { return inner(genuine, packets+i) })
	})
	if err != nil {
		return 0, err
	}

	before, err := c.countedOn([]string{node.Name}, "unknown-node")
	if err != nil {
		return 0, err
	}
	if err := sendRaw(c.target, "client", strangers(packets), to, func(i int) []byte { return inner(forged, i) }); err != nil {
		return 0, err
	}
	counted := uint64(0)
	err = c.awaitTrue(ctx, "forged packets are counted as unknown-node", func() (bool, error) {
		now, err := c.countedOn([]string{node.Name}, "unknown-node")
		counted = now - before
		return counted >= packets || got.forged.Load() > 0, err
	})
	if err != nil {
		c.wrong("%v: %d of %d", err, counted, packets)
	}
	if n := got.forged.Load(); n > 0 {
		c.wrong("%d forged packets have reached %s, whose node counted %d of %d as unknown-node", n, pod.Name, counted, packets)
	}
	c.detail = fmt.Sprintf(" (%d packets, all counted as unknown-node)", packets)
	return 0, nil
}

// strangers are addresses of the client's network that no node has.
func strangers(n int) []netip.Addr {
	var all []netip.Addr
	for i := range n {
		all = append(all, netip.AddrFrom4([4]byte{192, 168, 1, byte(1 + i%200)}))
	}
	return all
}

// received counts the datagrams that reach a pod, by what they say.
type received struct {
	net.PacketConn
	forged, genuine atomic.Int64
}

// receiveIn takes the datagrams that reach a pod's port, until it is closed.
func receiveIn(c *chaos, pod string) (*received, error) {
	r := &received{}
	err := c.Enter(pod).Do(func() (err error) {
		r.PacketConn, err = net.ListenPacket("udp4", fmt.Sprintf(":%d", echoPort))
		return err
	})
	if err != nil {
		return nil, err
	}
	go func() {
		buffer := make([]byte, 100)
		for {
			n, _, err := r.ReadFrom(buffer)
			if err != nil {
				return
			}
			switch string(buffer[:n]) {
			case forged:
				r.forged.Add(1)
			case genuine:
				r.genuine.Add(1)
			}
		}
	}()
	return r, nil
}

// sendRaw sends a UDP datagram to a node's Geneve port from each of these addresses.
func sendRaw(s *target, from string, sources []netip.Addr, to netip.Addr, payload func(i int) []byte) error {
	return s.Enter(from).Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return fmt.Errorf("send Geneve: open raw socket: %w", err)
		}
		defer unix.Close(fd)
		for i, source := range sources {
			packet := datagram(source.As4(), to.As4(), 50000, genevePort, payload(i))
			if err := unix.Sendto(fd, packet, 0, &unix.SockaddrInet4{Addr: to.As4()}); err != nil {
				return fmt.Errorf("send Geneve: %w", err)
			}
		}
		return nil
	})
}

// geneve is the payload of a packet from an LB node to a pod node: a datagram of a client to a pod, and the frontend that the client
// called in the DSR option.
func geneve(frontend, client, pod netip.AddrPort, payload []byte) []byte {
	const (
		optionWords = 3
		bridged     = 0x6558 // Ethernet frames, as an EtherType
		critical    = 0x40
		vni         = 2
		ipv4        = 0x0800
	)
	p := []byte{optionWords, critical}
	p = binary.BigEndian.AppendUint16(p, bridged)
	p = binary.BigEndian.AppendUint32(p, vni<<8)
	p = append(p, 0x01, 0x4b, 0x81, optionWords-1) // class, type and words of data
	p = append(p, frontend.Addr().AsSlice()...)
	p = binary.BigEndian.AppendUint16(p, frontend.Port())
	p = append(p, 0, 0)
	p = append(p, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2) // the pod node writes other MAC addresses
	p = binary.BigEndian.AppendUint16(p, ipv4)
	inner := datagram(client.Addr().As4(), pod.Addr().As4(), client.Port(), pod.Port(), payload)
	binary.BigEndian.PutUint16(inner[10:], ^sum(inner[:20]))
	return append(p, inner...)
}

// sum is the sum of all words, as Internet checksums have it (RFC 1071).
func sum(header []byte) uint16 {
	total := uint32(0)
	for i := 0; i+1 < len(header); i += 2 {
		total += uint32(binary.BigEndian.Uint16(header[i:]))
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return uint16(total)
}

// countedOn is how many packets nodes have counted under these reasons.
func (c *chaos) countedOn(nodes []string, reasons ...string) (n uint64, err error) {
	names, err := dataplane.LoadNames()
	if err != nil {
		return 0, err
	}
	for _, node := range nodes {
		d, err := c.OpenDataPath(node)
		if err != nil {
			return 0, err
		}
		counters, err := d.Counters(names)
		if err := errors.Join(err, d.Close()); err != nil {
			return 0, err
		}
		for _, counter := range counters {
			if slices.Contains(reasons, names.Reason(counter.Reason)) {
				n += counter.Packets
			}
		}
	}
	return n, nil
}

// awaitTrue calls the condition until it holds. What it is to be true is for the error.
func (c *chaos) awaitTrue(ctx context.Context, what string, condition func() (bool, error)) error {
	for deadline := time.Now().Add(patience); ; wait(ctx, 20*time.Millisecond) {
		if ok, err := condition(); ok || err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it did not come true within %s that %s", patience, strings.TrimSpace(what))
		}
	}
}
