package cluster

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
)

func planOf(t *testing.T, name string) *topologies.Plan {
	t.Helper()
	topology, err := topologies.Lookup(name)
	require.NoError(t, err)
	plan, err := topologies.PlanOf(topology)
	require.NoError(t, err)
	return plan
}

// partOf is the part of a lab of the catalogue.
func partOf(t *testing.T, name string, path testbed.DataPath) (*Subset, error) {
	t.Helper()
	lab, err := labs.Lookup(name)
	require.NoError(t, err)
	before := *lab
	part, err := SubsetOf(lab, planOf(t, lab.Spec.Topology), path)
	again, _ := labs.Lookup(name)
	assert.Equal(t, again, &before, "the lab is as it was")
	return part, err
}

func variantNames(l *labs.Lab) []string {
	var all []string
	for _, v := range l.Spec.Variants {
		all = append(all, v.Name)
	}
	return all
}

func expectationIDs(l *labs.Lab) []string {
	var all []string
	for _, e := range l.Spec.Expectations {
		all = append(all, e.ID)
	}
	return all
}

func TestPartAsIs(t *testing.T) {
	part, err := partOf(t, "03-local-policy", AsIs)
	require.NoError(t, err)
	assert.Equal(t, []testbed.Variant{
		{Name: "as-is-local", DataPath: AsIs, Pods: []string{"web-a", "web-b-1", "web-b-2", "web-b-3"}},
		{Name: "as-is-local-everywhere", DataPath: AsIs, Pods: []string{"web-a", "web-b-1", "web-c"}},
		{Name: "as-is", DataPath: AsIs, Policy: "Cluster", Pods: []string{"web-a", "web-b-1", "web-b-2", "web-b-3"}},
	}, part.Lab.Spec.Variants)
	require.Len(t, part.Lab.Spec.Phases, 2)
	steps := part.Lab.Spec.Phases[0].Steps
	assert.Equal(t, "health", steps[len(steps)-1].Kind())
	assert.Equal(t, []string{"as-is-local", "as-is-local-everywhere"}, steps[len(steps)-1].Variants)
	assert.Equal(t, 3, part.Lab.Spec.Phases[1].Repetitions)
	assert.Empty(t, part.Lab.Spec.Expectations)
	assert.Equal(t, []string{
		"variant dsr: the cluster's own service proxy is measured, as it is",
		"all expectations: what the cluster does is described, not judged",
	}, part.Omitted)
}

func TestPartDSRLab(t *testing.T) {
	part, err := partOf(t, "01-source-ip", DSRLab)
	require.NoError(t, err)
	assert.Equal(t, []string{"snat", "dsr"}, variantNames(part.Lab))
	assert.Empty(t, part.Lab.Spec.Phases[0].Capture)
	assert.Equal(t, []string{"snat-tcp", "snat-udp", "snat-connects", "dsr-tcp", "dsr-udp", "dsr-connects-tcp", "dsr-connects-udp"},
		expectationIDs(part.Lab))
	assert.Empty(t, part.Lab.Claims(), "each of them rests on something else, too")
	assert.Equal(t, []string{
		"variants none, kube-proxy, dnat-only: dsrd stays the cluster's service proxy",
		"capture in phase addresses: no node of the cluster is entered",
		"expectation dsr-option: geneve_option can't be measured from here",
		"expectation dsr-reply-source: reply_source_frontend can't be measured from here",
		"expectations dsr-bypass, snat-through: lb_port_bytes_reply can't be measured from here",
		"expectation dsr-bypass-capture: lb_reply_frames can't be measured from here",
		"verdict on claims SNAT-1, DSR-1: some of the evidence can't be measured here",
	}, part.Omitted)

	part, err = partOf(t, "03-local-policy", DSRLab)
	require.NoError(t, err)
	assert.Equal(t, []string{"dsr-serves", "dsr-keeps"}, expectationIDs(part.Lab))
	assert.Equal(t, []string{"DSR-4"}, part.Lab.Claims())
}

func TestPartOfNothing(t *testing.T) {
	for _, test := range []struct {
		lab  string
		path testbed.DataPath
		err  string
	}{
		{"02-throughput", AsIs, "02-throughput can't run on an existing cluster with --data-path as-is: it needs links of known rates, and those of " +
			"client, lb, worker can't be shaped there"},
		{"07-full-picture", DSRLab, "07-full-picture can't run on an existing cluster with --data-path dsrlab: " +
			"variants kube-proxy, local, l7-proxy, proxy-local: dsrd stays the cluster's service proxy; " +
			"step table: only connect and health need nothing of the lab's on the nodes; variant dsr: none of its steps is left"},
		{"06-dsr-packet-walk", AsIs, "06-dsr-packet-walk can't run on an existing cluster with --data-path as-is: " +
			"variants dsr, snat: the cluster's own service proxy is measured, as it is"},
	} {
		t.Run(test.lab, func(t *testing.T) {
			_, err := partOf(t, test.lab, test.path)
			var lacking *labs.UnsupportedError
			require.ErrorAs(t, err, &lacking)
			assert.EqualError(t, err, test.err)
		})
	}
}

// TestPartOfEachLab: whatever a lab has, its part names nothing that it lost.
func TestPartOfEachLab(t *testing.T) {
	names, err := labs.Catalogue()
	require.NoError(t, err)
	can := map[testbed.DataPath][]string{}
	for _, name := range names {
		for _, path := range []testbed.DataPath{AsIs, DSRLab} {
			part, err := partOf(t, name, path)
			if err != nil {
				continue
			}
			can[path] = append(can[path], name)
			has := variantNames(part.Lab)
			for _, p := range part.Lab.Spec.Phases {
				assert.Subset(t, has, p.Variants, name)
				for _, s := range p.Steps {
					assert.Subset(t, has, s.Variants, name)
					assert.Contains(t, []string{"connect", "health"}, s.Kind(), name)
				}
			}
			for _, e := range part.Lab.Spec.Expectations {
				assert.Contains(t, has, e.Variant, name)
			}
		}
	}
	assert.Equal(t, []string{"01-source-ip", "03-local-policy", "04-l7-headers"}, can[AsIs])
	assert.Equal(t, []string{"01-source-ip", "03-local-policy", "04-l7-headers", "05-proxy-protocol", "06-dsr-packet-walk"}, can[DSRLab])
}
