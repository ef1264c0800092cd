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
	assert.Contains(t, f.Remedy, "Akamai Linode has no switch for it that is known here.")
	f = on("aws:///", GeneveBlocked)
	assert.Empty(t, f.Source)
	assert.Empty(t, f.Commands)
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
