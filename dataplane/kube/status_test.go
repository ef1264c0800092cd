package kube

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestHealthy(t *testing.T) {
	hops := func(states ...bool) map[netip.Addr]hop {
		all := map[netip.Addr]hop{}
		for i, failed := range states {
			all[netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})] = hop{failed: failed}
		}
		return all
	}
	for _, test := range []struct {
		name   string
		states func(*status)
		want   string
		serves bool
	}{
		{"at first", func(*status) {}, "the cluster's objects are not known yet", false},
		{"applied", func(s *status) { s.applied(nil) }, "", true},
		{"kernel refused", func(s *status) { s.applied(nil); s.applied(errors.New("no memory")) }, "the data path's tables are not current: no memory", true},
		{"and not any more", func(s *status) { s.applied(errors.New("no memory")); s.applied(nil) }, "", true},
		{"device gone", func(s *status) { s.applied(nil); s.follows(errors.New("device eth0: no such device")) }, "device eth0: no such device", false},
		{"one other node is down", func(s *status) { s.applied(nil); s.reaches(hops(true)) }, "", true},
		{"one of two is down", func(s *status) { s.applied(nil); s.reaches(hops(true, false)) }, "", true},
		{"nobody answers", func(s *status) { s.applied(nil); s.reaches(hops(true, true)) }, "no other node answers: 192.0.2.0, 192.0.2.1", true},
		{"objects refused", func(s *status) { s.applied(nil); s.refuses(7) }, "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := &Agent{}
			test.states(&a.status)
			text := ""
			if err := a.Healthy(); err != nil {
				text = err.Error()
			}
			assert.Equal(t, test.want, text)
			assert.Equal(t, test.serves, a.Synced())
		})
	}
}

func TestAddressesOf(t *testing.T) {
	parse := func(all ...string) []netip.Addr {
		var out []netip.Addr
		for _, text := range all {
			out = append(out, netip.MustParseAddr(text))
		}
		return out
	}
	for _, test := range []struct {
		name                         string
		have, internal, before, want []netip.Addr
	}{
		{"nothing known: the first of each family", parse("192.0.2.2", "192.0.2.1", "2001:db8::1"), nil, nil, parse("192.0.2.2", "2001:db8::1")},
		{"the InternalIP", parse("192.0.2.2", "192.0.2.1"), parse("192.0.2.1"), parse("192.0.2.2"), parse("192.0.2.1")},
		{"the InternalIP is another device's", parse("192.0.2.2"), parse("198.51.100.1"), parse("192.0.2.2"), parse("192.0.2.2")},
		{"another address comes", parse("192.0.2.9", "192.0.2.2"), nil, parse("192.0.2.2"), parse("192.0.2.2")},
		{"it is replaced, the Node object comes later", parse("192.0.2.9"), parse("192.0.2.2"), parse("192.0.2.2"), parse("192.0.2.9")},
		{"a family goes", parse("2001:db8::1"), nil, parse("192.0.2.2", "2001:db8::1"), parse("2001:db8::1")},
		{"none", nil, parse("192.0.2.1"), parse("192.0.2.1"), nil},
	} {
		assert.Equal(t, test.want, addressesOf(test.have, test.internal, test.before), test.name)
	}
}

func TestSurroundingsEqual(t *testing.T) {
	at := netip.MustParseAddr("192.0.2.2")
	of := func(mac net.HardwareAddr, failed bool) surroundings {
		return surroundings{hops: map[netip.Addr]hop{at: {mac, failed}}}
	}
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	assert.True(t, of(mac, false).equal(of(mac, true)))
	assert.False(t, of(mac, false).equal(of(nil, false)))
	assert.False(t, of(mac, false).equal(surroundings{}))
}
