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
