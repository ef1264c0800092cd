package netns

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSteering(t *testing.T) {
	first := func(n int) []int {
		var cpus []int
		for cpu := range n {
			cpus = append(cpus, cpu)
		}
		return cpus
	}
	for _, test := range []struct {
		name string
		cpus []int
		want string
	}{
		{"unknown", nil, ""},
		{"one", []int{3}, ""},
		{"two", first(2), "3"},
		{"eight", first(8), "ff"},
		{"what is left of eight", []int{1, 3, 6}, "4a"},
		{"64", first(64), "ffffffff,ffffffff"},
		{"of 128 the last", []int{40, 127}, "80000000,00000000,00000100,00000000"},
	} {
		assert.Equal(t, test.want, steering(test.cpus), test.name)
	}
	assert.NotEmpty(t, usableCPUs())
}

// Where links have limits, all devices receive on all CPUs, as the flow's hash has it.
func TestLimitedNetworkIsSteered(t *testing.T) {
	requireRoot(t)
	cpus := steering(usableCPUs())
	if cpus == "" {
		t.Skip("there is only one CPU: nothing is steered")
	}
	nw := up(t, talk(t), "steered", t.TempDir())
	for ns, device := range map[string]string{Fabric: "p-worker", "client": nodeDevice, "lb": nodeDevice, "worker": "v-tcp-echo"} {
		assert.Equal(t, cpus, received(t, nw, ns, device), ns)
	}
}

// received is the CPUs on which a device receives, without the zeros that the kernel puts before it.
func received(t *testing.T, nw *Network, ns, device string) string {
	t.Helper()
	var cpus []byte
	require.NoError(t, nw.Do(ns, func() error {
		fs, err := openSysfs()
		if err != nil {
			return err
		}
		defer fs.close()
		cpus, err = os.ReadFile(fs.path("class/net/" + device + "/queues/rx-0/rps_cpus"))
		return err
	}))
	return strings.TrimLeft(strings.TrimSpace(string(cpus)), "0,")
}
