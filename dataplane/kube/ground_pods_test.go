package kube

import (
	"net"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/kube/network"
)

// A pod whose device goes while the agent looks at pods is left out, and the others are applied.
func TestPodGoes(t *testing.T) {
	n := runNode(t)
	pod := func(name, address string, last byte) int {
		require.NoError(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "-pod"}))
		for _, end := range []string{name + "-pod", name} {
			require.NoError(t, netlink.LinkSetUp(mustLink(t, end)))
		}
		index := mustLink(t, name).Attrs().Index
		require.NoError(t, netlink.NeighSet(&netlink.Neigh{
			LinkIndex: index, IP: net.ParseIP(address), State: netlink.NUD_PERMANENT, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 1, last},
		}))
		require.NoError(t, netlink.RouteAdd(&netlink.Route{LinkIndex: index, Dst: netlink.NewIPNet(net.ParseIP(address)), Scope: netlink.SCOPE_LINK}))
		return index
	}
	known := func(address string) bool {
		m, err := ebpf.LoadPinnedMap(filepath.Join(n.pins, "maps", bpf.DatapathMapPods), nil)
		require.NoError(t, err)
		defer m.Close()
		var key bpf.DatapathAddress
		var value bpf.DatapathPod
		for all := m.Iterate(); all.Next(&key, &value); {
			if key.Addr() == netip.MustParseAddr(address) {
				return true
			}
		}
		return false
	}
	pod("lxc1", "10.244.1.2", 1)
	n.eventually(t, func() bool { return known("10.244.1.2") }, "the first pod")
	for i := byte(2); i < 12; i++ { // as in a rollout
		require.NoError(t, netlink.LinkDel(mustLink(t, "lxc"+itoa(int(i-1)))))
		pod("lxc"+itoa(int(i)), "10.244.1."+itoa(int(i)+1), i)
	}
	n.eventually(t, func() bool { return known("10.244.1.12") && !known("10.244.1.2") }, "the last pod, and none that has gone")
	assert.NotContains(t, n.log.text(), "level=ERROR")
}

// attachPods leaves out a pod that has gone since it was found, without an error.
func TestAttachPodsThatHaveGone(t *testing.T) {
	n := newTestNode(t)
	require.NoError(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "lxc1"}, PeerName: "lxc1-pod"}))
	lxc1 := mustLink(t, "lxc1").Attrs()
	of := func(address, device string, index int) network.Pod {
		return network.Pod{Address: netip.MustParseAddr(address), Device: device, Index: index, MAC: lxc1.HardwareAddr, DeviceMAC: lxc1.HardwareAddr}
	}
	unknown := of("10.244.1.4", "lxc1", lxc1.Index)
	unknown.MAC = nil
	pods, err := n.attachPods([]network.Pod{of("10.244.1.2", "lxc0", 4711), of("10.244.1.3", "lxc1", lxc1.Index), unknown})
	require.NoError(t, err)
	require.Len(t, pods, 1)
	assert.Equal(t, []netip.Addr{netip.MustParseAddr("10.244.1.3")}, pods[0].Addresses)
	_, err = n.attachPods([]network.Pod{of("10.244.1.2", "lo", 1), of("10.244.1.3", "lxc1", lxc1.Index)})
	require.NoError(t, err)
}
