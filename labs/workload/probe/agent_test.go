package probe

import (
	"bufio"
	"encoding/json"
	"io"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies/netns/sandbox"
)

func TestMain(m *testing.M) { os.Exit(sandbox.Main(m)) }

// newNeighbour makes a network namespace with the address 192.0.2.2 that is a neighbour of this one, which has 192.0.2.1.
func newNeighbour(t *testing.T) workload.Enter {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	work, made := make(chan func()), make(chan int)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		fd := -1
		if unix.Unshare(unix.CLONE_NEWNET) == nil {
			fd, _ = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		made <- fd
		for do := range work {
			do()
		}
	}()
	ns := <-made
	require.GreaterOrEqual(t, ns, 0)
	defer unix.Close(ns)
	t.Cleanup(func() { close(work) })
	enter := func(f func() error) (err error) {
		done := make(chan struct{})
		work <- func() { defer close(done); err = f() }
		<-done
		return err
	}
	attributes := netlink.NewLinkAttrs()
	attributes.Name = "near"
	near := &netlink.Veth{LinkAttrs: attributes, PeerName: "far", PeerNamespace: netlink.NsFd(ns)}
	require.NoError(t, netlink.LinkAdd(near))
	t.Cleanup(func() { assert.NoError(t, netlink.LinkDel(near)) })
	configure := func(device, address string) error {
		link, err := netlink.LinkByName(device)
		require.NoError(t, err)
		a, err := netlink.ParseAddr(address)
		require.NoError(t, err)
		require.NoError(t, netlink.AddrAdd(link, a))
		return netlink.LinkSetUp(link)
	}
	require.NoError(t, configure("near", "192.0.2.1/24"))
	require.NoError(t, enter(func() error { return configure("far", "192.0.2.2/24") }))
	return enter
}

// A probe is seen to leave, to arrive, and behind the kernel's filters; one that a filter drops is not seen there. The agent at the far
// end is spoken to in lines of JSON.
func TestServe(t *testing.T) {
	enter := newNeighbour(t)
	requests, toServe := io.Pipe()
	fromServe, messages := io.Pipe()
	served := make(chan error, 1)
	go func() { served <- Serve(t.Context(), enter, requests, messages) }()
	lines := bufio.NewScanner(fromServe)
	next := func() (m Message) {
		require.True(t, lines.Scan())
		require.NoError(t, json.Unmarshal(lines.Bytes(), &m))
		return m
	}
	ask := func(r Request) {
		line, err := json.Marshal(r)
		require.NoError(t, err)
		_, err = toServe.Write(append(line, '\n'))
		require.NoError(t, err)
	}
	require.Equal(t, &Answer{}, next().Answer)
	ask(Request{Number: 1, Guard: []uint16{FirstPort}})
	require.Equal(t, &Answer{Number: 1}, next().Answer)
	require.NoError(t, enter(dropUDP))

	left := make(chan Sighting, 100)
	here, err := Open(nil, func(s Sighting) { left <- s })
	require.NoError(t, err)
	udp := Probe{ID: 5, Kind: KindUDP, Source: netip.MustParseAddrPort("203.0.113.9:29700"), Destination: netip.MustParseAddrPort("192.0.2.2:29696")}
	tcp := udp
	tcp.ID, tcp.Kind, tcp.Flags = 6, KindTCP, SYN|ACK
	require.NoError(t, here.Send(t.Context(), udp, tcp))

	for _, id := range []uint32{5, 6} {
		s := <-left
		assert.Equal(t, id, s.ID)
		assert.Equal(t, LevelLeft, s.Level)
	}
	type seen struct {
		id    uint32
		level Level
	}
	var all []seen
	for !slices.Contains(all, seen{6, LevelSocket}) {
		s := next().Sighting
		require.NotNil(t, s)
		assert.Equal(t, udp.Source, s.Source)
		all = append(all, seen{s.ID, s.Level})
	}
	assert.ElementsMatch(t, []seen{{5, LevelDevice}, {6, LevelDevice}, {6, LevelSocket}}, all, "the datagram was dropped on its way to the socket")

	ask(Request{Number: 2, Facts: true})
	facts := next().Answer.Facts
	require.NotNil(t, facts)
	require.Len(t, facts.Devices, 1)
	assert.Equal(t, "far", facts.Devices[0].Name)
	assert.Equal(t, []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24")}, facts.Devices[0].Addresses)
	require.NotNil(t, facts.DropsInvalid)
	assert.False(t, *facts.DropsInvalid)
	ask(Request{Number: 3, Send: []Probe{{ID: 1, Kind: "x", Source: udp.Source, Destination: udp.Destination}}})
	assert.Contains(t, next().Answer.Error, `kind: unknown kind "x"`)

	require.NoError(t, toServe.Close())
	require.NoError(t, <-served)
	require.NoError(t, here.Close())
	select {
	case s := <-left:
		t.Errorf("the guarded kernel answered: %+v", s)
	default:
	}
}

// dropUDP makes the thread's namespace drop datagrams to itself.
func dropUDP() error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	table := conn.AddTable(&nftables.Table{Name: "test", Family: nftables.TableFamilyIPv4})
	chain := conn.AddChain(&nftables.Chain{Name: "input", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput,
		Priority: nftables.ChainPriorityFilter})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: unix.NFT_REG_1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: []byte{unix.IPPROTO_UDP}},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}})
	return conn.Flush()
}

// A rule that drops packets of no connection is found, other than kube-proxy's.
func TestDropsInvalid(t *testing.T) {
	enter := newNeighbour(t)
	agent, err := Open(enter, func(Sighting) {})
	require.NoError(t, err)
	defer func() { assert.NoError(t, agent.Close()) }()
	for _, test := range []struct {
		table, chain string
		want         bool
	}{{"kube-proxy", "filter-forward", false}, {"filter", "KUBE-FORWARD", false}, {"filter", "mine", true}} {
		require.NoError(t, enter(func() error {
			conn, err := nftables.New()
			if err != nil {
				return err
			}
			table := conn.AddTable(&nftables.Table{Name: test.table, Family: nftables.TableFamilyIPv4})
			chain := conn.AddChain(&nftables.Chain{Name: test.chain, Table: table})
			conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
				&expr.Ct{Key: expr.CtKeySTATE, Register: unix.NFT_REG_1},
				&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: 4, Mask: []byte{1, 0, 0, 0}, Xor: make([]byte, 4)},
				&expr.Cmp{Op: expr.CmpOpNeq, Register: unix.NFT_REG_1, Data: make([]byte, 4)},
				&expr.Verdict{Kind: expr.VerdictDrop},
			}})
			return conn.Flush()
		}))
		facts, err := agent.Facts(t.Context())
		require.NoError(t, err)
		require.NotNil(t, facts.DropsInvalid)
		assert.Equal(t, test.want, *facts.DropsInvalid, "%s %s", test.table, test.chain)
	}
}

// Devices of the kernel's own, as veth, run XDP programs themselves; before Linux 6.3 no device tells.
func TestDriverXDP(t *testing.T) {
	newNeighbour(t)
	agent, err := Open(nil, func(Sighting) {})
	require.NoError(t, err)
	defer func() { assert.NoError(t, agent.Close()) }()
	facts, err := agent.Facts(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, facts.Devices)
	for _, d := range facts.Devices {
		if d.DriverXDP == nil {
			assert.Contains(t, facts.Unread["XDP in the driver of "+d.Name], "it is not told before Linux 6.3")
			continue
		}
		assert.True(t, *d.DriverXDP, d.Name)
	}
}

// There is no way to an address of the machine itself, nor to one without a route.
func TestSendNowhere(t *testing.T) {
	newNeighbour(t)
	agent, err := Open(nil, func(Sighting) {})
	require.NoError(t, err)
	defer func() { assert.NoError(t, agent.Close()) }()
	send := func(to string) error {
		return agent.Send(t.Context(), Probe{ID: 9, Kind: KindUDP, Source: netip.MustParseAddrPort("192.0.2.1:29696"), Destination: netip.AddrPortFrom(netip.MustParseAddr(to), 1)})
	}
	assert.ErrorContains(t, send("192.0.2.1"), "probe from 192.0.2.1 to 192.0.2.1: find route to 192.0.2.1: it is an address of this machine")
	assert.ErrorIs(t, send("198.51.100.1"), unix.ENETUNREACH)
}
