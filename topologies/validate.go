package topologies

import (
	"net/netip"
	"strings"

	"github.com/dsrlab/dsrlab/topologies/manifest"
)

const (
	// MaxNameLength is what the names of topologies, nodes and pods may have, replicas' numbers included.
	MaxNameLength = 32

	minMTU4, minMTU6, maxMTU = 576, 1280, 9000 // RFC 791 (hosts), RFC 8200 section 5, jumbo frames

	// FabricName is the name of the switch and router between all nodes: no node or pod may have it.
	FabricName = "fabric"
)

// validate checks a topology whose defaults are filled in, and returns it with its replicas written out. Its error is
// manifest.Errors with everything that is wrong.
func validate(t *Topology) (*expansion, error) {
	c := &checker{t: t, x: expand(t), names: map[string]string{}, taken: map[netip.Addr]string{}}
	c.head()
	c.networks()
	c.nodes()
	c.overlaps()
	c.pods()
	c.services()
	return c.x, c.errors.Err()
}

// tooMany reports lists that are longer than any that is built. All else that is checked of their items would take minutes, and be
// reported of each.
func tooMany(t *Topology) error {
	var errs manifest.Errors
	for _, list := range []struct {
		field        string
		length, most int
	}{
		{"spec.networks", len(t.Spec.Networks), MaxNetworks}, {"spec.nodes", len(t.Spec.Nodes), MaxNodes},
		{"spec.pods", len(t.Spec.Pods), MaxPods}, {"spec.services", len(t.Spec.Services), MaxServices},
	} {
		if list.length > list.most {
			errs = append(errs, manifest.Errorf(list.field, "has %d items, want at most %d", list.length, list.most))
		}
	}
	const farTooMany = 16 // fewer are counted, and checked, with all else
	nodes := 0
	for i := range t.Spec.Nodes {
		nodes += min(max(t.Spec.Nodes[i].Replicas, 1), MaxNodes+1)
	}
	if nodes > farTooMany*MaxNodes {
		errs = append(errs, manifest.Errorf("spec.nodes", "are more than %d with all replicas", MaxNodes))
	}
	return errs.Err()
}

// checker is the state of one validate.
type checker struct {
	t      *Topology
	x      *expansion
	errors manifest.Errors
	// names of nodes and pods, and addresses, to who has them.
	names map[string]string
	taken map[netip.Addr]string
	// blocks are the subnets and pod CIDRs in ascending order.
	blocks []block
	// unsure says that a subnet is missing or wrong: then nothing is said about what should lie in one.
	unsure bool
}

func (c *checker) errorf(field, format string, args ...any) {
	c.errors = append(c.errors, manifest.Errorf(field, format, args...))
}

// follows is errorf for an error that may follow from another field's.
func (c *checker) follows(other, field, format string, args ...any) {
	c.errorf(field, format, args...)
	c.errors[len(c.errors)-1].Follows = []string{other}
}

func (c *checker) head() {
	t := c.t
	c.exactly("apiVersion", t.APIVersion, APIVersion)
	c.exactly("kind", t.Kind, Kind)
	c.name("metadata.name", t.Metadata.Name, 0)
	if strings.ContainsAny(t.Metadata.Description, "\n\r") {
		c.errorf("metadata.description", "has several lines, want one")
	}
	if s := t.Spec.Substrate; s != SubstrateNetns && s != SubstrateKindK {
		c.errorf("spec.substrate", "%q is no substrate%s", s, manifest.Suggest(string(s), []string{"netns", "kind"}))
	}
	if !isAlgorithm(t.Spec.CongestionControl) {
		c.errorf("spec.congestionControl", "%q is no name of an algorithm: want at most 15 of a-z, 0-9 and _, as in cubic",
			t.Spec.CongestionControl)
	}
	lowest, why := minMTU4, ""
	for i := range t.Spec.Networks {
		for _, p := range t.Spec.Networks[i].Subnets {
			if p.IsValid() && p.Addr().Is6() {
				lowest, why = minMTU6, " with IPv6"
			}
		}
	}
	if t.Spec.MTU < lowest || t.Spec.MTU > maxMTU {
		c.errorf("spec.mtu", "is %d, want %d to %d%s", t.Spec.MTU, lowest, maxMTU, why)
	}
}

// isAlgorithm reports whether a name can be that of a congestion control (TCP_CA_NAME_MAX is 16).
func isAlgorithm(name string) bool {
	return name != "" && len(name) < 16 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

func (c *checker) exactly(field, got, want string) {
	switch got {
	case want:
	case "":
		c.errorf(field, "is missing, want %s", want)
	default:
		c.errorf(field, "is %q, want %s", got, want)
	}
}

// name checks the name of a topology, node or pod that has so many replicas.
func (c *checker) name(field, name string, replicas int) bool {
	longest := name
	if replicas > 1 {
		longest = replicaName(name, replicas-1, replicas)
	}
	switch {
	case name == "":
		c.errorf(field, "is missing")
	case !isLabel(name):
		c.errorf(field, "%q is no name: want a-z, 0-9 and -, a letter first, no - last", name)
	case len(longest) > MaxNameLength:
		c.errorf(field, "%q has %d characters, want at most %d", longest, len(longest), MaxNameLength)
	case name == FabricName:
		c.errorf(field, "%q is the name of the switch between all nodes, want another", name)
	default:
		return true
	}
	return false
}

// isLabel reports whether a name is a DNS label as of RFC 1035: it begins with a letter.
func isLabel(name string) bool {
	return name != "" && name[0] >= 'a' && name[0] <= 'z' && name[len(name)-1] != '-' &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// unique records the owner of a name, and reports an error if it has another.
func (c *checker) unique(field, name, owner string) {
	if name == "" {
		return
	}
	if other, twice := c.names[name]; twice {
		c.errorf(field, "the name %s is already that of %s", name, other)
		return
	}
	c.names[name] = owner
}

// address records the owner of an address, and reports an error if it has another.
func (c *checker) address(field string, a netip.Addr, owner string) bool {
	if other, twice := c.taken[a]; twice {
		c.errorf(field, "%s is already the address of %s", a, other)
		return false
	}
	c.taken[a] = owner
	return true
}
