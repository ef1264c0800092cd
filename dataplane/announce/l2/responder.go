// Package l2 answers for VIPs in a node's own network: ARP requests (RFC 826) and neighbour solicitations (RFC 4861). The kernel
// has no part in it, as the VIPs are none of its addresses: a node that had them would answer on all ports.
//
// One node speaks for a VIP, and another one stands in. The latter probes once a second, as who is about to take an address does
// (RFC 5227), and speaks when three probes in a row are not answered: so a node that has died, or whose agent has, is replaced
// in four seconds, before anybody else has noticed. It is one small frame for each VIP and second. Who begins to speak tells all.
package l2

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/dataplane/announce"
)

// Responder answers on one device. It is safe for concurrent use.
type Responder struct {
	log    *slog.Logger
	device *net.Interface
	arp    *packet.Conn
	ndp    *packet.Conn
	ending chan struct{}
	loops  sync.WaitGroup

	mu      sync.Mutex
	turns   map[netip.Addr]*turn
	groups  *memberships
	leaving bool
}

// Listen opens sockets in the network namespace of its caller; it needs CAP_NET_RAW. A nil log discards. Close ends it.
func Listen(device *net.Interface, log *slog.Logger) (*Responder, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if len(device.HardwareAddr) != ethernetLength {
		return nil, fmt.Errorf("answer for VIPs on %s: it is no Ethernet device", device.Name)
	}
	r := &Responder{log: log, device: device, turns: map[netip.Addr]*turn{}, ending: make(chan struct{})}
	if err := r.openSockets(); err != nil {
		return nil, errors.Join(fmt.Errorf("answer for VIPs on %s: %w", device.Name, err), r.closeSockets())
	}
	r.loops.Go(func() { r.read(r.arp, func(b []byte, _ net.HardwareAddr) (word, bool) { return readARP(b) }) })
	r.loops.Go(func() { r.read(r.ndp, readNDP) })
	r.loops.Go(r.tick)
	return r, nil
}

func (r *Responder) openSockets() (err error) {
	if r.arp, err = listen(r.device, unix.ETH_P_ARP, nil); err != nil {
		return err
	}
	if r.ndp, err = listen(r.device, unix.ETH_P_IPV6, onlyNDP()); err != nil {
		return err
	}
	if r.groups, err = openMemberships(r.device.Index); errors.Is(err, unix.EAFNOSUPPORT) {
		return nil // a kernel without IPv6
	}
	return err
}

// Set takes a node's part in announcing: all VIPs that it speaks or stands in for.
func (r *Responder) Set(all []announce.Announcement) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	turns, groups := map[netip.Addr]*turn{}, map[netip.Addr]bool{}
	var changed []netip.Addr
	for _, a := range all {
		t := r.turns[a.VIP]
		if t == nil {
			t = &turn{leaving: r.leaving}
		}
		if t.role != a.Role {
			r.log.Info("VIP", "address", a.VIP, "role", a.Role)
			t.become(a.Role)
			changed = append(changed, a.VIP)
		}
		if turns[a.VIP] = t; a.VIP.Is6() {
			groups[groupOf(a.VIP)] = true
		}
	}
	for vip := range r.turns {
		if turns[vip] == nil {
			r.log.Info("VIP", "address", vip, "role", "none")
		}
	}
	r.turns = turns
	var err error
	if r.groups != nil {
		err = r.groups.set(groups)
	}
	for _, vip := range changed { // at once
		r.second(vip, turns[vip])
	}
	return err
}

// Leave lets the nodes that stand in speak, each within four seconds; until it does, and at most until Close, this one goes on
// to answer.
func (r *Responder) Leave() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leaving = true
	for _, t := range r.turns {
		t.leave()
	}
	return nil
}

// Close ends all answers.
func (r *Responder) Close() error {
	close(r.ending)
	err := r.closeSockets()
	r.loops.Wait()
	return err
}

func (r *Responder) closeSockets() error {
	var errs []error
	for _, c := range []*packet.Conn{r.arp, r.ndp} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	if r.groups != nil {
		errs = append(errs, r.groups.close())
	}
	return errors.Join(errs...)
}

func (r *Responder) tick() {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-r.ending:
			return
		case <-ticker.C:
		}
		r.mu.Lock()
		for vip, t := range r.turns {
			r.second(vip, t)
		}
		r.mu.Unlock()
	}
}

// second is one of a turn.
func (r *Responder) second(vip netip.Addr, t *turn) {
	spoke := t.speaking
	asking, telling := t.tick()
	if t.speaking && !spoke {
		r.log.Warn("VIP: nobody answers for it: standing in", "address", vip)
	}
	if asking {
		r.send(probe(vip, r.device.HardwareAddr))
	}
	if telling {
		r.send(tell(vip, r.device.HardwareAddr))
	}
}

// read takes what comes from a socket until that is closed.
func (r *Responder) read(from *packet.Conn, parse func([]byte, net.HardwareAddr) (word, bool)) {
	buffer := make([]byte, 2048)
	for {
		n, sender, err := from.ReadFrom(buffer)
		select {
		case <-r.ending:
			return
		default:
		}
		if err != nil { // the device is down, or has gone
			r.log.Debug("answer for VIPs", "error", err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		var mac net.HardwareAddr
		if a, ok := sender.(*packet.Addr); ok {
			mac = a.HardwareAddr
		}
		if w, ok := parse(buffer[:n], mac); ok && !bytes.Equal(w.mac, r.device.HardwareAddr) {
			r.take(w)
		}
	}
}

// take heeds a word about a VIP.
func (r *Responder) take(w word) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.turns[w.address]
	switch {
	case t == nil:
	case w.meaning == claims:
		if t.role == announce.Speaks && !t.leaving && t.peaceful == 0 {
			r.log.Warn("VIP: another answers for it, too", "address", w.address, "mac", w.mac)
		}
		spoke := t.speaking
		if t.heard(); spoke && !t.speaking {
			r.log.Info("VIP: another speaks now", "address", w.address, "mac", w.mac)
		}
	case t.answers(w.meaning == probes):
		r.send(answer(w, r.device.HardwareAddr))
	}
}

func (r *Responder) send(f frame) {
	by := r.arp
	if f.ipv6 {
		by = r.ndp
	}
	if _, err := by.WriteTo(f.payload, &packet.Addr{HardwareAddr: f.to}); err != nil {
		r.log.Debug("answer for VIPs", "to", f.to, "error", err)
	}
}
