package prober

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	diagnosis "github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/workload/probe"
)

// Each node answers connections of each entry node, itself included, as many as mean something.
func TestObserveHealthyModel(t *testing.T) {
	for n := 1; n <= 4; n++ {
		names := []string{"a", "b", "c", "d"}[:n]
		m, site := newModel(names...)
		o := m.observe(t, site)
		assert.Len(t, o.WayBack, n*n)
		for _, w := range o.WayBack {
			assert.GreaterOrEqual(t, w.SYNs, leastPerAnswer, "%s → %s", w.Entry, w.Answer)
			assert.Equal(t, w.SYNs, w.AnswersAfter)
		}
		r := diagnosis.Diagnose(*o)
		assert.Empty(t, r.Findings)
		assert.Empty(t, r.Unknown)
		assert.Equal(t, diagnosis.Works, r.Verdict)
	}
}

// With more nodes than there are ports for, some answer enough connections and the others none.
func TestObserveMoreNodesThanPorts(t *testing.T) {
	var names []string
	for i := range guarded/leastPerAnswer + 2 {
		names = append(names, fmt.Sprint("node-", i))
	}
	m, site := newModel(names...)
	m.entries = names[:1]
	ob := &observer{Site: site}
	var all []*connection
	ob.journal = newJournal()
	for range guarded {
		c := &connection{syn: ob.journal.newID()}
		ob.journal.add(names[0], probe.Sighting{ID: c.syn, Level: probe.LevelDevice, TTL: 63})
		all = append(all, c)
	}
	ob.assign(all)
	answers := map[string]int{}
	for _, c := range all {
		answers[c.answer.Name]++
	}
	assert.Len(t, answers, guarded/leastPerAnswer)
	for name, count := range answers {
		assert.Equal(t, leastPerAnswer, count, name)
	}
}

// Where each VIP leads to one node, connections to several VIPs are needed; one that leads to no other node is not.
func TestObserveVIPsOfDifferentNodes(t *testing.T) {
	m, site := newModel("a", "b", "c")
	m.entries = []string{"a"}
	for address, entry := range map[string]string{"198.51.100.81": "a", "198.51.100.82": "b"} {
		m.vips[netip.MustParseAddr(address)] = []string{entry}
	}
	for _, vip := range []netip.Addr{netip.MustParseAddr("198.51.100.81"), netip.MustParseAddr("198.51.100.82")} {
		site.VIPs = append(site.VIPs, vip)
		site.Frontends = append(site.Frontends, diagnosis.Frontend{Service: "default/web", Kind: diagnosis.VIP, Address: netip.AddrPortFrom(vip, 80)})
	}
	o := m.observe(t, site)
	entries := map[string]string{}
	for _, w := range o.WayBack {
		entries[w.Frontend.Address.Addr().String()] += w.Entry
		assert.GreaterOrEqual(t, w.AnswersAfter, leastPerAnswer)
	}
	assert.Equal(t, map[string]string{modelVIP: "aaa", "198.51.100.82": "bbb"}, entries)
	r := diagnosis.Diagnose(*o)
	assert.Equal(t, diagnosis.Works, r.Verdict, r.Unknown)
}

// A firewall at each node's port passes the SYN-ACKs of the node where the SYN came in, and no other's. However many calls come in by the
// node itself, it is found.
func TestObserveFirewallAtEachPort(t *testing.T) {
	for _, entries := range [][]string{{"a", "b", "c"}, {"a", "b"}, {"a", "a", "a", "b", "c"}} {
		m, site := newModel("a", "b", "c")
		m.entries = entries
		m.firewall = func(node string) bool { return node != "client" }
		o := m.observe(t, site)
		for _, p := range o.Spoof {
			if p.Solicited {
				assert.Zero(t, p.Arrived, "%s answers connections that came in by another node", p.Node)
			}
		}
		r := diagnosis.Diagnose(*o)
		assert.Equal(t, []string{"stateful-firewall"}, causes(r), entries)
		require.NotEmpty(t, r.Findings)
		assert.Equal(t, []string{"a", "b", "c"}, r.Findings[0].Nodes)
	}
}

// What could not be sent, or was seen too late to be followed up, says nothing about the network.
func TestSumWayBackLeavesOutWhatWasNotFollowedUp(t *testing.T) {
	for name, c := range map[string]struct {
		idle time.Duration
		does func(*observer, *connection)
		want bool
	}{
		"SYN-ACK in time": {time.Second, func(ob *observer, c *connection) {
			ob.see("client", c.synAck)
			c.ids[stageACK] = c.syn + 1
		}, true},
		"SYN-ACK lost": {time.Second, func(*observer, *connection) {}, true},
		"SYN-ACK late": {time.Second, func(ob *observer, c *connection) { ob.see("client", c.synAck) }, false},
		"not sent":     {time.Second, func(_ *observer, c *connection) { c.unsent = true }, false},
		"data late": {time.Second, func(ob *observer, c *connection) {
			ob.see("client", c.synAck)
			c.ids[stageACK], c.ids[stageBefore] = c.syn+1, 1000
			ob.see("a", 1000)
		}, false},
		"data, and no pause": {NoIdle, func(ob *observer, c *connection) {
			ob.see("client", c.synAck)
			c.ids[stageACK], c.ids[stageBefore] = c.syn+1, 1000
			ob.see("a", 1000)
		}, true},
		"data after the pause late": {time.Second, func(ob *observer, c *connection) {
			ob.see("client", c.synAck)
			c.ids[stageACK], c.ids[stageBefore], c.ids[stageAfter] = c.syn+1, 1000, 1001
			ob.see("a", 1000)
			ob.see("a", 1001)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, site := newModel("a", "b")
			ob := &observer{Site: site, Options: Options{Idle: c.idle}, journal: newJournal(), out: &diagnosis.Observations{}}
			conn := &connection{syn: 1, synAck: 3, entry: &ob.Nodes[0], answer: &ob.Nodes[1], ids: map[stage]uint32{}}
			c.does(ob, conn)
			conn.frontend = netip.MustParseAddrPort(modelVIP + ":29696")
			ob.sumWayBack([]*connection{conn})
			assert.Equal(t, c.want, len(ob.out.WayBack) == 1)
			assert.Equal(t, c.want, len(ob.out.Spoof) == 1)
		})
	}
}

// see adds a sighting of a packet that came in.
func (ob *observer) see(station string, id uint32) {
	ob.journal.add(station, probe.Sighting{ID: id, Level: probe.LevelDevice})
}
