package dataplane

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/vishvananda/netlink"
)

// TestNoNativeXDP: a device whose driver has no XDP is served at tc, and Load says so.
func TestNoNativeXDP(t *testing.T) {
	dir := filepath.Join(mountBPFFS(t), "node")
	inNamespace(t, func(t *testing.T) {
		bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
		if !assert.NoError(t, netlink.LinkAdd(bridge)) {
			return
		}
		config := Config{Addresses: testNodeAddresses, Device: "br0", PinDir: dir, Sizes: fewEntries, Hook: HookXDP}
		d, err := Load(config)
		if !assert.NoError(t, err) {
			return
		}
		defer d.Close()
		assert.ErrorContains(t, d.Notice(), "device br0 has no native XDP for our program")
		hook, err := d.Hook()
		assert.NoError(t, err)
		assert.Equal(t, HookTC, hook)
		names, _ := wantAt(t, AttachAuto, HookTC)
		assert.ElementsMatch(t, names, attached(t, "br0"))
		assert.NoError(t, Unload(dir))
	})
}

// TestVLANTagsInFrames: while XDP looks at frames the device leaves VLAN tags in them, and after that it is as it was.
func TestVLANTagsInFrames(t *testing.T) {
	dir := filepath.Join(mountBPFFS(t), "node")
	inNamespace(t, func(t *testing.T) {
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "tags0"}, PeerName: "tags1"}
		if !assert.NoError(t, netlink.LinkAdd(veth)) {
			return
		}
		check := func(want bool, when string) {
			on, err := hasTagFeature("tags0")
			assert.NoError(t, err)
			assert.Equal(t, want, on, when)
		}
		load := func(hook Hook) {
			d, err := Load(Config{Addresses: testNodeAddresses, Device: "tags0", PinDir: dir, Sizes: fewEntries, Hook: hook})
			if assert.NoError(t, err) {
				assert.NoError(t, d.Notice())
				assert.NoError(t, d.Close())
			}
		}
		load(HookXDP)
		check(false, "XDP")
		load(HookXDP) // as after a restart
		load(HookTC)
		check(true, "tc")
		load(HookXDP)
		assert.NoError(t, Unload(dir))
		check(true, "unloaded")

		assert.NoError(t, setTagFeature("tags0", false)) // by someone else
		load(HookXDP)
		assert.NoError(t, Unload(dir))
		check(false, "unloaded")
	})
}
