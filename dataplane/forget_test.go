package dataplane

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// Flows of the named frontends go, on the LB node and on the pod node; others stay.
func TestForgetFlows(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		lb, worker := w.lb(t, services.ModeDSR), w.worker(t, services.ModeDSR)
		begin := func(port uint16) packetSpec {
			p := packetSpec{src: w.client, dst: w.vip, sport: 4000, dport: port, syn: true}
			out := lb.send(t, FromNetwork, p.frame(t))
			worker.send(t, FromNetwork, out.frame)
			return p
		}
		begin(portTwo)
		kept := begin(portEcho)
		two := []netip.AddrPort{netip.AddrPortFrom(w.vip, portTwo)}
		for name, d := range map[string]*DataPath{"LB node": lb, "pod node": worker} {
			n, err := d.ForgetFlows(two)
			require.NoError(t, err)
			if name == "LB node" {
				assert.Equal(t, 1, n, name)
			}
			n, err = d.ForgetFlows(two)
			require.NoError(t, err)
			assert.Zero(t, n, name)
		}
		n, err := worker.ForgetFlows([]netip.AddrPort{netip.AddrPortFrom(w.vip, kept.dport)})
		require.NoError(t, err)
		assert.Equal(t, 1, n, "the pod node knew it all the while")
	})
}
