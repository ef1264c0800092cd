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
		name          string
		cpus          []int
		nodes, fabric string
	}{
		{"unknown", nil, "", ""},
		{"one", []int{3}, "", ""},
		{"two", first(2), "1", "2"},
		{"three", first(3), "1", "6"},
		{"eight", first(8), "f", "f0"},
		{"what is left of eight", []int{1, 3, 6}, "2", "48"},
		{"64", first(64), "ffffffff", "ffffffff,00000000"},
		{"of 128 the last", []int{40, 127}, "100,00000000", "80000000,00000000,00000000,00000000"},
	} {
		nodes, fabric := steering(test.cpus)
		assert.Equal(t, test.nodes, nodes, test.name)
		assert.Equal(t, test.fabric, fabric, test.name)
	}
	assert.NotEmpty(t, usableCPUs())
}

// Where wires are shaped, nodes and fabric receive on different CPUs.
func TestShapedLabIsSteered(t *testing.T) {
	requireRoot(t)
	nodes, fabric := steering(usableCPUs())
	if nodes == "" {
		t.Skip("there is only one CPU: nothing is steered")
	}
	lab := up(t, talk(t), "steered", t.TempDir())
	assert.Equal(t, fabric, received(t, lab, Fabric, "p-worker"))
	for _, node := range []string{"client", "lb", "worker"} {
		assert.Equal(t, nodes, received(t, lab, node, nodeDevice), node)
	}
	assert.Equal(t, nodes, received(t, lab, "worker", "v-tcp-echo"))
}

// received is the CPUs on which a device receives, without the zeros that the kernel puts before it.
func received(t *testing.T, lab *Lab, place, device string) string {
	t.Helper()
	var cpus []byte
	require.NoError(t, lab.Do(place, func() error {
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
