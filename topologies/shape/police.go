package shape

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/internal/capability"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/rtnl"
)

// policerPriority is the preference of the filter that a policer is attached by: right behind that of the redirect to the ifb device,
// so that of a direction which changes from the one to the other every frame meets one of the two, and before those of others.
const policerPriority = redirectPriority + 1

// policerName is the name of the filter.
const policerName = "dsrlab-police"

// What the policer's arithmetic holds: a full bucket is below 2^63 nanobits (bpf/bucket.h).
const (
	nanobitsPerByte = 8_000_000_000
	maxPolicedBurst = 1 << 30 // bytes
	sizeOfBucket    = int(unsafe.Sizeof(policeBucket{}))
)

// policer is one that is attached, by its maps.
type policer struct {
	buckets *ebpf.Map
	limit   policeConfig
}

func (p *policer) close() {
	if p != nil {
		p.buckets.Close()
	}
}

// policerFilter is which filter of a port is ours; parent is ingress or egress.
func policerFilter(link netlink.Link, parent uint32) *netlink.BpfFilter {
	return &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: link.Attrs().Index, Parent: parent, Handle: Handle, Priority: policerPriority, Protocol: unix.ETH_P_ALL,
		},
		Fd: -1, Name: policerName, DirectAction: true,
	}
}

// policerConfig is what a policer is loaded with.
func policerConfig(s topologies.Shape) (policeConfig, error) {
	if s.Rate <= 0 || s.Burst <= 0 || s.Burst > maxPolicedBurst {
		return policeConfig{}, fmt.Errorf("rate of %d bit/s and burst of %d bytes: use a rate above 0 and a burst of 1 to %d",
			int64(s.Rate), int64(s.Burst), maxPolicedBurst)
	}
	c := policeConfig{Rate: uint64(s.Rate), Full: uint64(s.Burst) * nanobitsPerByte}
	if s.Overhead != nil {
		if *s.Overhead < 0 || *s.Overhead > maxOverhead {
			return policeConfig{}, fmt.Errorf("overhead of %d bytes: use 0 to %d", *s.Overhead, maxOverhead)
		}
		c.Overhead = uint64(*s.Overhead)
	}
	c.FillTime = (c.Full + c.Rate - 1) / c.Rate
	return c, nil
}

// setPolicer polices what a port receives (ingress) or sends (egress). A policer that is there is replaced in one step, by one that goes on
// with its bucket and counters.
func setPolicer(c *rtnl.Conn, port netlink.Link, parent uint32, s topologies.Shape) error {
	limit, err := policerConfig(s)
	if err != nil {
		return err
	}
	old, err := findPolicer(c, port, parent)
	if err != nil {
		return err
	}
	defer old.close()
	if old != nil && old.limit == limit {
		return nil
	}
	objects, err := loadPolicer(limit, old)
	if err != nil {
		return err
	}
	defer objects.Close() // the filter keeps what it needs
	if err := addClsact(c, port); err != nil {
		return err
	}
	filter := policerFilter(port, parent)
	filter.Fd = objects.Police.FD()
	if err := c.FilterReplace(filter); err != nil {
		return missing("the cls_bpf classifier", "modprobe cls_bpf (CONFIG_NET_CLS_BPF)", err)
	}
	return nil
}

// loadPolicer loads the program, with the bucket of an earlier one or a full one of its own.
func loadPolicer(limit policeConfig, old *policer) (*policeObjects, error) {
	spec, err := loadPolice()
	if err != nil {
		return nil, err
	}
	if err := spec.Variables[policeVarLimit].Set(limit); err != nil {
		return nil, err
	}
	var options ebpf.CollectionOptions
	if old != nil {
		options.MapReplacements = map[string]*ebpf.Map{policeMapBuckets: old.buckets}
	}
	objects := &policeObjects{}
	if err := spec.LoadAndAssign(objects, &options); err != nil {
		if errors.Is(err, ebpf.ErrNotSupported) || capability.Refused(err) {
			how := capability.How(err, "Linux 6.1 or later with CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_BPF")
			return nil, &MissingError{Feature: "BPF programs for tc", How: how, Err: err}
		}
		return nil, fmt.Errorf("load the policer: %w", err)
	}
	if old != nil {
		return objects, nil
	}
	if err := objects.Buckets.Put(uint32(0), policeBucket{Credit: limit.Full}); err != nil {
		return nil, errors.Join(fmt.Errorf("fill the policer's bucket: %w", err), objects.Close())
	}
	return objects, nil
}

// removePolicer removes a port's policer, if there is one.
func removePolicer(c *rtnl.Conn, port netlink.Link, parent uint32) error {
	id, err := policerProgram(c, port, parent)
	if err != nil || id == 0 {
		return err
	}
	if err := c.FilterDel(policerFilter(port, parent)); err != nil {
		return fmt.Errorf("remove the policer: %w", err)
	}
	return nil
}

// policerProgram is the program of a port's policer; 0 where there is none.
func policerProgram(c *rtnl.Conn, port netlink.Link, parent uint32) (ebpf.ProgramID, error) {
	filters, err := c.FilterList(port, parent)
	if err != nil {
		return 0, fmt.Errorf("list filters: %w", err)
	}
	for _, f := range filters {
		if b, ok := f.(*netlink.BpfFilter); ok && b.Handle == Handle && b.Priority == policerPriority && b.Name == policerName {
			return ebpf.ProgramID(b.Id), nil
		}
	}
	return 0, nil
}

// findPolicer finds a port's policer, whoever attached it; nil where there is none. The caller closes it.
func findPolicer(c *rtnl.Conn, port netlink.Link, parent uint32) (*policer, error) {
	const tries = 5 // it may be replaced right after it was listed
	for try := 1; ; try++ {
		id, err := policerProgram(c, port, parent)
		if err != nil || id == 0 {
			return nil, err
		}
		p, err := openPolicer(id)
		if try < tries && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open the policer: %w", err)
		}
		return p, nil
	}
}

func openPolicer(id ebpf.ProgramID) (*policer, error) {
	program, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return nil, err
	}
	defer program.Close()
	info, err := program.Info()
	if err != nil {
		return nil, err
	}
	ids, _ := info.MapIDs()
	p := &policer{}
	for _, id := range ids {
		if err := p.take(id); err != nil {
			p.close()
			return nil, err
		}
	}
	if p.buckets == nil || p.limit.Rate == 0 {
		p.close()
		return nil, errors.New("the program has other maps than it should")
	}
	return p, nil
}

// take takes over one of the program's maps: the bucket, or what it was loaded with.
func (p *policer) take(id ebpf.MapID) error {
	m, err := ebpf.NewMapFromID(id)
	if err != nil {
		return err
	}
	if int(m.ValueSize()) == sizeOfBucket && p.buckets == nil {
		p.buckets = m
		return nil
	}
	defer m.Close()
	return m.Lookup(uint32(0), &p.limit)
}

// stats are what has crossed the policer, and what it is set to.
func (p *policer) stats() (Stats, error) {
	var b policeBucket
	if err := p.buckets.LookupWithFlags(uint32(0), &b, ebpf.LookupLock); err != nil {
		return Stats{}, fmt.Errorf("read the policer: %w", err)
	}
	overhead := int(p.limit.Overhead)
	return Stats{
		Shape: topologies.Shape{
			Rate: topologies.Rate(p.limit.Rate), Limit: topologies.LimitPolice, Burst: topologies.Size(p.limit.Full / nanobitsPerByte),
			Overhead: &overhead,
		},
		Bytes: b.Passed.Bytes, Packets: b.Passed.Count, Drops: b.Dropped.Count, DroppedBytes: b.Dropped.Bytes, Overlimits: b.Dropped.Count,
	}, nil
}

// readPolicer reads a port's policer, if there is one.
func readPolicer(c *rtnl.Conn, port netlink.Link, parent uint32) (s Stats, policed bool, err error) {
	p, err := findPolicer(c, port, parent)
	if err != nil || p == nil {
		return Stats{}, false, err
	}
	defer p.close()
	s, err = p.stats()
	return s, err == nil, err
}

// Programs returns the programs of all policers of a network namespace. The kernel frees them some time after their ports are gone.
func Programs(c *rtnl.Conn) ([]ebpf.ProgramID, error) {
	qdiscs, err := c.QdiscList(nil)
	if err != nil {
		return nil, fmt.Errorf("list qdiscs: %w", err)
	}
	var ids []ebpf.ProgramID
	for _, q := range qdiscs {
		if q.Type() != "clsact" {
			continue
		}
		port := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: q.Attrs().LinkIndex}}
		for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
			id, err := policerProgram(c, port, parent)
			if err != nil {
				return nil, err
			}
			if id != 0 {
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}
