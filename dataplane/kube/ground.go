package kube

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/kube/network"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// ground is what the data path's programs are loaded for: constants of theirs.
type ground struct {
	index     int
	mac       string
	mtu       int
	addresses []netip.Addr
	down      bool // nothing has to be loaded anew for that
}

func (g ground) equal(other ground) bool {
	return g.index == other.index && g.mac == other.mac && g.mtu == other.mtu && slices.Equal(g.addresses, other.addresses)
}

// differences names what has changed, for the log.
func (g ground) differences(now ground) []any {
	var all []any
	add := func(name string, before, after any) {
		if fmt.Sprint(before) != fmt.Sprint(after) {
			all = append(all, name, fmt.Sprintf("%v, was %v", after, before))
		}
	}
	add("index", g.index, now.index)
	add("mac", g.mac, now.mac)
	add("mtu", g.mtu, now.mtu)
	add("addresses", g.addresses, now.addresses)
	return all
}

// patience is for how long the agent waits for a device or address that has gone. Then it ends, to be started anew: by then another
// device may be the one that leads to the other nodes.
const patience = time.Minute

// readGround reads what the node's device is like now.
func (a *Agent) readGround() (ground, error) {
	device, err := net.InterfaceByName(a.device)
	if err != nil {
		return ground{}, fmt.Errorf("device %s: %w", a.device, err)
	}
	g := ground{
		index: device.Index, mac: device.HardwareAddr.String(), mtu: device.MTU, addresses: a.options.Addresses, down: device.Flags&net.FlagUp == 0,
	}
	if len(g.addresses) > 0 {
		return g, nil
	}
	have, err := network.Addresses(a.device)
	if err != nil {
		return ground{}, err
	}
	var own []netip.Addr
	for _, p := range a.cluster.Peers() {
		if p.Name == a.options.Node {
			own = p.Addresses
		}
	}
	g.addresses = addressesOf(have, own, a.ground.addresses)
	if len(g.addresses) == 0 {
		return ground{}, fmt.Errorf("device %s: found no address, must have the node's", a.device)
	}
	return g, nil
}

// addressesOf selects the node's address of each family among those that its device has: the InternalIP of the Node object if it is
// one of them, else the one that has been used so far, else the first.
func addressesOf(have, internal, before []netip.Addr) []netip.Addr {
	var all []netip.Addr
	for _, is4 := range []bool{true, false} {
		candidates := slices.Concat(internal, before, have)
		i := slices.IndexFunc(candidates, func(c netip.Addr) bool { return c.Is4() == is4 && slices.Contains(have, c) })
		if i >= 0 {
			all = append(all, candidates[i])
		}
	}
	return all
}

// load loads the data path's programs for a ground, in place of those that are loaded; its tables and flows stay.
func (a *Agent) load(g ground) error {
	path, err := dataplane.Load(dataplane.Config{
		Addresses: g.addresses, Device: a.device, PinDir: a.options.PinDir, MTU: g.mtu, Hook: a.options.Config.LoadBalancer.Hook,
		Sizes: a.options.Config.Sizes,
	})
	if err != nil {
		return err
	}
	if notice := path.Notice(); notice != nil {
		a.options.Log.Warn("the data path is loaded, but not all is as it should be", "reason", notice)
	}
	if a.path != nil {
		a.log(a.path.Close())
	}
	a.path, a.ground, a.seen = path, g, nil // what is attached to pods are the old programs
	if err := path.CheckAttached(a.device); err != nil {
		a.unchecked = true
		a.options.Log.Warn("this kernel does not tell what is attached: nobody will notice if someone detaches it", "error", err)
	}
	return nil
}

// speak announces VIPs with the node's addresses as next hops, in place of those that were announced before.
func (a *Agent) speak() error {
	if a.speaker != nil {
		a.log(a.speaker.Close())
	}
	o := a.options
	o.Addresses = a.ground.addresses
	var err error
	a.speaker, err = newSpeaker(o)
	return err
}

// follow finds out what has changed around the data path, by the kernel's word or with all at each resync, and changes what follows
// from it. Where the device has another index, MAC address, MTU or address than the programs were loaded for, or they are not attached
// any more, they are loaded anew. As long as that can't be, nothing is announced and health checks fail; after a minute of it follow
// returns an error. Other errors are in the log: the next event or resync tries again.
func (a *Agent) follow(all bool) error {
	if err := a.followGround(); err != nil {
		a.status.follows(err)
		if a.broken.IsZero() {
			a.broken = time.Now()
			a.options.Log.Error("the data path can't follow the node's device", "error", err)
			a.log(a.pauseAnnouncing())
		}
		if waited := time.Since(a.broken); waited > patience {
			return fmt.Errorf("the data path has not been able to follow the node's device for %v: %w", waited.Round(time.Second), err)
		}
		return nil
	}
	if !a.broken.IsZero() {
		a.options.Log.Info("the data path follows the node's device again", "device", a.device)
		a.broken, a.seen = time.Time{}, nil
	}
	if a.ground.down {
		a.status.follows(fmt.Errorf("device %s: is down", a.device))
	} else {
		a.status.follows(nil)
	}
	seen, err := a.lookAround(all)
	if err != nil {
		a.log(err)
		return nil
	}
	if all || a.seen == nil || !seen.equal(*a.seen) {
		a.log(a.applyAll(seen))
		return nil
	}
	a.seen = &seen
	if !a.synced {
		return nil
	}
	if err := a.applyNetwork(); err != nil { // it may be a route of the agent's own that has gone
		a.options.Log.Debug("pod network", "error", err)
	}
	return nil
}

// followGround loads the data path anew where it is not loaded for what there is.
func (a *Agent) followGround() error {
	now, err := a.readGround()
	if err != nil {
		return err
	}
	var detached error
	if !a.unchecked {
		detached = a.path.CheckAttached(a.device)
	}
	if now.equal(a.ground) && detached == nil {
		a.ground.down = now.down
		return nil
	}
	a.options.Log.Warn("the node's device has changed: loading the programs anew",
		append([]any{"device", a.device, "attached", detached == nil}, a.ground.differences(now)...)...)
	others := !slices.Equal(now.addresses, a.ground.addresses)
	if err := a.load(now); err != nil {
		return err
	}
	if others {
		return a.speak()
	}
	return nil
}

// pauseAnnouncing withdraws what is announced, until speak begins again.
func (a *Agent) pauseAnnouncing() error {
	if a.speaker == nil {
		return nil
	}
	return a.speaker.Set(nil)
}

// surroundings are what the kernel knows of the node's pods, of the way to other nodes, and of the network.
type surroundings struct {
	pods     []network.Pod
	hops     map[netip.Addr]hop  // to other nodes' addresses
	reserved []services.Reserved // what the addresses and routes of the node's devices keep from Services
}

// hop is where packets to a node go first.
type hop struct {
	MAC    net.HardwareAddr // nil: each packet asks the kernel
	failed bool             // nobody answers there
}

// equal compares what the data path is told of.
func (s surroundings) equal(other surroundings) bool {
	return slices.EqualFunc(s.pods, other.pods, equalPods) && slices.Equal(s.reserved, other.reserved) &&
		maps.EqualFunc(s.hops, other.hops, func(h, o hop) bool { return bytes.Equal(h.MAC, o.MAC) })
}

func equalPods(x, y network.Pod) bool {
	return x.Address == y.Address && x.Index == y.Index && slices.Equal(x.MAC, y.MAC) && slices.Equal(x.DeviceMAC, y.DeviceMAC)
}

// lookAround reads the kernel's tables, and lets it find out what it is not sure of. Nodes that did not answer are asked again only
// with all, at each resync.
func (a *Agent) lookAround(all bool) (surroundings, error) {
	neighbours, err := network.ReadNeighbours()
	if err != nil {
		return surroundings{}, err
	}
	seen := surroundings{hops: map[netip.Addr]hop{}}
	if seen.reserved, err = readReserved(); err != nil {
		return surroundings{}, err
	}
	var inside []netip.Prefix
	for _, p := range a.cluster.Peers() {
		if p.Name == a.options.Node {
			inside = p.PodCIDRs
			continue
		}
		for _, address := range p.Addresses {
			gateway := network.Gateway(address, a.ground.index)
			if !gateway.IsValid() {
				continue // by another device: the kernel routes
			}
			if err := neighbours.Resolve(gateway, a.ground.index, all); err != nil {
				a.options.Log.Debug("next hop", "node", p.Name, "error", err)
			}
			h := hop{neighbours.MAC(gateway, a.ground.index), neighbours.Failed(gateway, a.ground.index)}
			if h.MAC == nil && a.seen != nil && a.seen.hops[address].failed {
				h.failed = true // the kernel is asking once more
			}
			seen.hops[address] = h
		}
	}
	a.status.reaches(seen.hops)
	seen.pods, err = network.Pods(inside, neighbours)
	return seen, err
}
