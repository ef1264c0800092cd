package tables

import (
	"slices"
	"time"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/rendezvous"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// serviceSpec is what one service is to have in the maps of one node, before anything of it has a number.
type serviceSpec struct {
	ports     []string // names of numbers, see portName
	backends  []backendSpec
	sets      []setSpec
	ranges    []rangeSpec
	frontends []frontendSpec
	guards    []bpf.DatapathAddress
}

// backendID identifies a backend: a pod's address that moves to another node is another backend.
type backendID struct {
	bpf.DatapathServiceKey
	node bpf.DatapathAddress
}

// backendSpec is a backend of a service.
type backendSpec struct {
	backendID
	nextHop  [6]uint8
	local    bool
	outside  bool // neither a pod nor a node
	draining bool
	here     bool            // on this node: a pod that is known, or one of its own processes
	pod      bpf.DatapathPod // zero for a process
}

// setSpec is what a set of backends is made of.
type setSpec struct {
	shares []share
}

// share is a backend of a set, as an index into the spec's backends.
type share struct {
	backend int
	weight  uint32
}

// rangeSpec lets clients use a port, an index into the spec's ports.
type rangeSpec struct {
	port                 int
	bpf.DatapathRangeKey // without Service
}

// frontendSpec is a frontend. Its sets are indices into the spec's, or noSet.
type frontendSpec struct {
	key             bpf.DatapathServiceKey
	port            int
	outside, inside int
	value           bpf.DatapathFrontend // without sets and number
}

const noSet = -1

func (spec *serviceSpec) equal(other *serviceSpec) bool {
	return slices.Equal(spec.ports, other.ports) && slices.Equal(spec.backends, other.backends) &&
		slices.EqualFunc(spec.sets, other.sets, setSpec.equal) && slices.Equal(spec.ranges, other.ranges) &&
		slices.Equal(spec.frontends, other.frontends) && slices.Equal(spec.guards, other.guards)
}

func (r setSpec) equal(other setSpec) bool {
	return slices.Equal(r.shares, other.shares)
}

// isList reports whether the packet programs compare the backends' scores themselves: few, and of equal weight. Else they look the
// backend up in a table.
func (r setSpec) isList() bool {
	return len(r.shares) <= bpf.ListBackends &&
		!slices.ContainsFunc(r.shares, func(s share) bool { return s.weight != r.shares[0].weight })
}

// size is that of the bpf.DatapathBackendSet.
func (r setSpec) size() uint32 {
	if r.isList() {
		return uint32(len(r.shares))
	}
	return rendezvous.Slots
}

// reduce divides the weights by what they have in common, which makes no other set.
func (r setSpec) reduce() {
	common := uint32(0)
	for _, s := range r.shares {
		for a := s.weight; a != 0; {
			common, a = a, common%a
		}
	}
	for i := range r.shares {
		r.shares[i].weight /= common
	}
}

func flagsOf(t *services.Tables, f *services.Frontend, node string) uint8 {
	var flags bpf.DatapathFrontendFlags
	if f.LocalOnly {
		flags |= bpf.DatapathFrontendFlagsFRONTEND_LOCAL_ONLY
	}
	if f.Selection == services.SelectionRandom {
		flags |= bpf.DatapathFrontendFlagsFRONTEND_RANDOM
	}
	if t.Refusal(f, node) == services.RefusalReject {
		flags |= bpf.DatapathFrontendFlagsFRONTEND_EMPTY
	}
	if len(f.SourceRanges) > 0 {
		flags |= bpf.DatapathFrontendFlagsFRONTEND_RANGES
	}
	return uint8(flags)
}

// seconds rounds up: an affinity of half a second is not none.
func seconds(d time.Duration) uint32 {
	return uint32((d + time.Second - 1) / time.Second)
}

func modeNumber(m services.Mode) bpf.DatapathMode {
	if m == services.ModeDSR {
		return bpf.DatapathModeMODE_DSR
	}
	return bpf.DatapathModeMODE_SNAT
}

func kindNumber(k services.Kind) bpf.DatapathFrontendKind {
	switch k {
	case services.KindNodePort:
		return bpf.DatapathFrontendKindFRONTEND_NODE_PORT
	case services.KindExternalIP:
		return bpf.DatapathFrontendKindFRONTEND_EXTERNAL_IP
	case services.KindClusterIP:
		return bpf.DatapathFrontendKindFRONTEND_CLUSTER_IP
	}
	return bpf.DatapathFrontendKindFRONTEND_LOAD_BALANCER
}
