package dataplane

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestLocalPortRange: SNAT keeps away from the ports that the kernel gives to sockets of the node, and says where it can't.
func TestLocalPortRange(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		for _, test := range []struct {
			local, notice string
			want          portRange
		}{
			{"32768 60999", "", portRange{6082, 29999}},
			{"1024 60999", "", portRange{61000, 65535}},
			{"1024 65535", "net.ipv4.ip_local_port_range, 1024 to 65535, leaves too few", portRange{32768, 65535}},
		} {
			assert.NoError(t, os.WriteFile(localPortsSysctl, []byte(test.local), 0o644))
			d := &DataPath{}
			ports, err := d.chooseSNATPorts(portRange{})
			assert.NoError(t, err)
			assert.Equal(t, test.want, ports, test.local)
			if test.notice == "" {
				assert.NoError(t, d.Notice())
			} else {
				assert.ErrorContains(t, d.Notice(), test.notice)
			}
		}
	})
}

func TestSNATPortsBeside(t *testing.T) {
	for _, test := range []struct {
		local, want portRange
		own         bool
	}{
		{portRange{32768, 60999}, portRange{6082, 29999}, true}, // the kernel's default
		{portRange{1024, 65535}, portRange{32768, 65535}, false},
		{portRange{1024, 60999}, portRange{61000, 65535}, true},
		{portRange{10240, 65535}, portRange{1024, 6080}, true},
		{portRange{1024, 4999}, portRange{32768, 65535}, true},
		{portRange{15000, 61439}, portRange{6082, 14999}, true},
		{portRange{4000, 62000}, portRange{32768, 65535}, false}, // 2,976 and 3,535 ports are left
		{portRange{100, 200}, portRange{32768, 65535}, true},
	} {
		got, own := snatPortsBeside(test.local)
		assert.Equal(t, test.want, got, "local ports %d to %d", test.local.first, test.local.last)
		assert.Equal(t, test.own, own, "local ports %d to %d", test.local.first, test.local.last)
	}
}
