package assess

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every row says where it is documented, or that it is not verified; and then it has no switch.
func TestProvidersNameTheirSource(t *testing.T) {
	ids := map[string]string{}
	for _, p := range Providers() {
		require.NotEmpty(t, p.Name)
		require.NotEmpty(t, p.Causes, p.Name)
		for _, c := range p.Causes {
			assert.NotEmpty(t, c.Info().Meaning, "%s: %s", p.Name, c)
		}
		if p.Source == NotVerified {
			assert.Empty(t, p.Switch+strings.Join(p.Commands, ""), "%s: a switch needs a source", p.Name)
		} else {
			for _, source := range strings.Split(p.Source, ", ") {
				assert.Regexp(t, `^https://\S+$`, source, p.Name)
			}
			assert.NotEmpty(t, p.Consequence, p.Name)
		}
		for _, id := range p.IDs {
			assert.Empty(t, ids[id], "%s: %s", p.Name, id)
			ids[id] = p.Name
		}
	}
}

func TestProviderOf(t *testing.T) {
	name := func(nodes ...Node) string {
		if p := providerOf(nodes); p != nil {
			return p.Name
		}
		return ""
	}
	aws, azure := Node{ProviderID: "aws:///eu-west-1a/i-1"}, Node{ProviderID: "azure:///subscriptions/x"}
	assert.Equal(t, "AWS EC2", name(aws, aws))
	assert.Empty(t, name(aws, azure), "mixed")
	assert.Empty(t, name(aws, Node{}))
	assert.Empty(t, name())
	assert.Equal(t, "DigitalOcean", name(Node{Labels: map[string]string{"doks.digitalocean.com/node-pool": "p"}}))
	assert.Empty(t, name(Node{ProviderID: "other://x", Labels: map[string]string{"eks.amazonaws.com/nodegroup": "p"}}), "the ID says more than a label")
}

// A finding has the switch of the provider that it is about, and no other.
func TestFindingOfProvider(t *testing.T) {
	on := func(id string, cause Cause) Finding {
		o := fabric{cause: true}.observe()
		for i := range o.Nodes {
			o.Nodes[i].ProviderID = id + o.Nodes[i].Name
		}
		r := Diagnose(o)
		require.NotEmpty(t, r.Findings)
		return r.Findings[0]
	}
	f := on("openstack:///", PortSecurity)
	assert.Contains(t, f.Commands, "openstack port set PORT --allowed-address ip-address=VIP")
	assert.Contains(t, f.Source, "docs.redhat.com")
	f = on("linode://", SourceCheck)
	assert.Equal(t, NotVerified, f.Source)
	assert.Equal(t, "Switch the source and destination check off, on every node's interface. How Akamai Linode does that was not found.", f.Remedy)
	assert.Equal(t, WorksIf, f.Verdict)
	f = on("digitalocean://", SourceCheck)
	assert.Equal(t, "No setting of DigitalOcean is known that changes this. DSR was reported not to work between Droplets. "+
		"Put the nodes on a network that lets foreign sources pass, or keep SNAT.", f.Remedy)
	assert.Equal(t, Wont, f.Verdict)
	f = on("aws:///", GeneveBlocked)
	assert.Empty(t, f.Source)
	assert.Empty(t, f.Commands)
}

// Where it may be one of several causes, the switch of one does not replace what to do about the others.
func TestFindingOfSeveralCauses(t *testing.T) {
	digitalOcean := providerOf([]Node{{ProviderID: "digitalocean://1"}})
	f := newFinding(sign{causes: []Cause{PortSecurity, URPF}}, digitalOcean)
	assert.Regexp(t, "^No setting of DigitalOcean .* Or: Have the router check loosely", f.Remedy)
	assert.Equal(t, WorksIf, f.Verdict, "it may be a router's filter")
	assert.Equal(t, Wont, newFinding(sign{causes: []Cause{PortSecurity, SourceCheck}}, digitalOcean).Verdict)
	assert.Equal(t, NotKnown, newFinding(sign{causes: []Cause{PortSecurity}, possible: true}, digitalOcean).Verdict)
}

func TestCauses(t *testing.T) {
	seen := map[Cause]bool{}
	for _, c := range Causes() {
		assert.False(t, seen[c.Cause], c.Cause)
		seen[c.Cause] = true
		assert.NotEmpty(t, c.Meaning, c.Cause)
		assert.NotEmpty(t, c.Consequence, c.Cause)
		assert.NotEmpty(t, c.Remedy, c.Cause)
		assert.Contains(t, []Verdict{WorksIf, Wont}, c.Verdict, c.Cause)
	}
	assert.Empty(t, Cause("other").Info().Meaning)
}
