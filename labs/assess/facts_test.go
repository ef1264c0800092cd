package assess

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNodeLines(t *testing.T) {
	yes, no := true, false
	full := Node{
		Name: "a", Kernel: "6.1.0", Device: "eth0", MTU: 1450, ReversePath: map[string]int{"eth0": 2, "eth1": 1}, AcceptLocal: map[string]bool{"eth0": true},
		BTF: &yes, XDP: &no, DropsInvalid: &yes,
	}
	same := full
	same.Name = "c"
	r := Diagnose(Observations{Nodes: []Node{same, {Name: "b", BTF: &no, XDP: &yes, DropsInvalid: &no}, full, {Name: "silent"}}})
	assert.Equal(t, []string{
		"a, c: Linux 6.1.0, with BTF, eth0 with an MTU of 1450 bytes, a loose reverse path filter, accept_local, no XDP in its driver, " +
			"a rule that drops what connection tracking calls invalid.",
		"b: without BTF, XDP in its driver.",
	}, r.NodeLines())
}
