package kube

import (
	"bytes"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// Another node gets another Ethernet address and says so (gratuitous ARP): packets to its pods follow at once.
func TestGratuitousARP(t *testing.T) {
	n := runNode(t)
	peer := mustLink(t, "peer0")
	other, err := netns.New() // the thread is there now
	require.NoError(t, err)
	defer other.Close()
	require.NoError(t, netns.Set(n.namespace))
	require.NoError(t, netlink.LinkSetNsFd(peer, int(other)))
	require.NoError(t, netns.Set(other))
	peer = mustLink(t, "peer0")
	addAddress(t, peer, "192.0.2.12/24")
	require.NoError(t, netlink.LinkSetUp(peer))
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/peer0/arp_notify", []byte("1"), 0); err != nil {
		t.Skip("needs a writable /proc/sys:", err)
	}
	follows := func(mac net.HardwareAddr) bool { have, _ := n.nextHop(t, "192.0.2.12"); return bytes.Equal(have, mac) }
	require.Eventually(t, func() bool { return follows(peer.Attrs().HardwareAddr) }, 2*resync, 10*time.Millisecond, "the kernel has asked for it")
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 0x80}
	began := time.Now()
	require.NoError(t, netlink.LinkSetHardwareAddr(peer, mac))
	n.eventually(t, func() bool { return follows(mac) }, "the next hop is the new one")
	t.Logf("after %v", time.Since(began))
	assert.Less(t, time.Since(began), resync/2, "not with a resync")
	require.NoError(t, netns.Set(n.namespace))
}
