package doctor

import (
	"errors"
	"net"
	"os"
	"os/exec"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/shape"
)

// scratch holds what the probes have created so far. Most of it disappears with the namespace.
type scratch struct {
	veth    netlink.Link
	program *ebpf.Program
}

func (s *scratch) close() {
	if s.program != nil {
		_ = s.program.Close()
	}
}

func probes() []probe {
	all := []probe{
		{"veth pairs", needAll, "modprobe veth", (*scratch).makeVeth},
		{"bridges", needAll, "modprobe bridge", (*scratch).makeBridge},
		{"cubic by route", needAll, "modprobe tcp_cubic", (*scratch).routeWithCubic},
		{"packet sockets", needAll, "a kernel with CONFIG_PACKET", (*scratch).packetSocket},
		{"writable /proc/sys", needAll, "docker run --security-opt systempaths=unconfined", (*scratch).writeSysctl},
		{"bpffs", needAll, "a kernel with CONFIG_BPF_SYSCALL", (*scratch).mountBPFFS},
		{"tc programs", needAll, "Linux 6.1 or later with CONFIG_NET_CLS_ACT", (*scratch).loadProgram},
		{"TCX or clsact", needAll, "modprobe sch_ingress cls_bpf", (*scratch).attachProgram},
	}
	for _, m := range []struct {
		name string
		of   ebpf.MapType
	}{{"LRU hash maps", ebpf.LRUHash}, {"array of maps", ebpf.ArrayOfMaps}, {"BPF ring buffer", ebpf.RingBuf}, {"per-CPU arrays", ebpf.PerCPUArray}} {
		all = append(all, probe{m.name, needAll, "Linux 6.1 or later", func(*scratch) error { return features.HaveMapType(m.of) }})
	}
	for _, h := range []struct {
		name string
		of   asm.BuiltinFunc
	}{{"bpf_redirect_neigh", asm.FnRedirectNeigh}, {"bpf_redirect_peer", asm.FnRedirectPeer}, {"bpf_skb_adjust_room", asm.FnSkbAdjustRoom}} {
		all = append(all, probe{h.name, needAll, "Linux 6.1 or later", func(*scratch) error { return features.HaveProgramHelper(ebpf.SchedCLS, h.of) }})
	}
	return append(all,
		probe{"nftables with numgen and NAT", needBase, "modprobe nft_numgen nft_nat nft_masq nf_conntrack", (*scratch).natRules},
		probe{"shaped wires (tbf, ifb, u32, mirred)", needShaped, "modprobe sch_tbf ifb cls_u32 act_mirred", (*scratch).shapeWire},
		probe{"policed wires (cls_bpf)", needShaped, "modprobe sch_ingress cls_bpf", (*scratch).policeWire},
		probe{"XDP programs", needNone, "Linux 6.1 or later", func(*scratch) error { return features.HaveProgramType(ebpf.XDP) }},
		probe{"netem (delay and loss)", needNone, "modprobe sch_netem", (*scratch).netem},
		program("nginx", "nginx-light", "--proxy nginx"), program("haproxy", "haproxy", "--proxy haproxy"), program("bird", "bird2", "--router bird"),
	)
}

// program returns a probe for an optional program, which an option of a lab runs.
func program(name, pkg, option string) probe {
	return probe{name + " (" + option + ")", needNone, "apt-get install " + pkg, func(*scratch) error {
		_, err := exec.LookPath(name)
		return err
	}}
}

func (s *scratch) makeVeth() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "p-doctor"
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0"}); err != nil {
		return err
	}
	for _, name := range []string{"eth0", "p-doctor"} {
		device, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(device); err != nil {
			return err
		}
		s.veth = device
	}
	return nil
}

func (s *scratch) makeBridge() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br0"
	return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs})
}

func (s *scratch) routeWithCubic() error {
	if s.veth == nil {
		return needsError("veth pairs")
	}
	return netlink.RouteAdd(&netlink.Route{
		LinkIndex: s.veth.Attrs().Index, Scope: netlink.SCOPE_LINK, Congctl: topologies.DefaultCongestionControl,
		Dst: &net.IPNet{IP: net.IPv4(192, 0, 2, 0), Mask: net.CIDRMask(24, 32)},
	})
}

func (s *scratch) packetSocket() error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// writeSysctl writes a sysctl's own value back. In containers /proc/sys is read-only.
func (s *scratch) writeSysctl() error {
	const file = "/proc/sys/net/ipv4/ip_forward"
	value, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(file, value, 0)
}

func (s *scratch) mountBPFFS() error {
	dir, err := os.MkdirTemp("", "dsrlab-doctor-")
	if err != nil {
		return err
	}
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		return errors.Join(err, os.Remove(dir))
	}
	return errors.Join(unix.Unmount(dir, 0), os.Remove(dir))
}

func (s *scratch) loadProgram() (err error) {
	if err := rlimit.RemoveMemlock(); err != nil && !errors.Is(err, os.ErrPermission) {
		return err
	}
	s.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, Name: "doctor", License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	return err
}

func (s *scratch) attachProgram() error {
	if s.program == nil || s.veth == nil {
		return needsError("veth pairs and tc programs")
	}
	l, err := link.AttachTCX(link.TCXOptions{Interface: s.veth.Attrs().Index, Program: s.program, Attach: ebpf.AttachTCXIngress})
	if err == nil {
		return l.Close()
	}
	if !errors.Is(err, ebpf.ErrNotSupported) {
		return err
	}
	return netlink.QdiscAdd(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: s.veth.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}})
}

// natRules adds a table with a NAT chain, a rule with numgen and one that masquerades.
func (s *scratch) natRules() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	table := c.AddTable(&nftables.Table{Name: "dsrlab-doctor", Family: nftables.TableFamilyIPv4})
	chain := c.AddChain(&nftables.Chain{
		Name: "nat", Table: table, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Numgen{Register: 1, Modulus: 2, Type: unix.NFT_NG_RANDOM},
		&expr.Masq{FullyRandom: true},
	}})
	return c.Flush()
}

func (s *scratch) shapeWire() error {
	if s.veth == nil {
		return needsError("veth pairs")
	}
	overhead := topologies.DefaultOverhead
	spec := topologies.Shape{Rate: 1e8, Queue: 64 << 10, Burst: 16 << 10, Overhead: &overhead}
	return shape.Wire{Port: s.veth, Alias: "dsrlab-doctor"}.Set(spec, spec)
}

func (s *scratch) policeWire() error {
	if s.veth == nil {
		return needsError("veth pairs")
	}
	overhead := topologies.DefaultOverhead
	spec := topologies.Shape{Rate: 1e8, Limit: topologies.LimitPolice, Burst: 16 << 10, Overhead: &overhead}
	return shape.Wire{Port: s.veth, Alias: "dsrlab-doctor"}.Set(spec, spec)
}

func (s *scratch) netem() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "netem0"
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "netem1"}); err != nil {
		return err
	}
	device, err := netlink.LinkByName("netem0")
	if err != nil {
		return err
	}
	return netlink.QdiscAdd(netlink.NewNetem(netlink.QdiscAttrs{
		LinkIndex: device.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT,
	}, netlink.NetemQdiscAttrs{Latency: 1000}))
}
