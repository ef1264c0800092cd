package report

import (
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// dataPath numbers what carries a variant's packets. It has one colour, one mark and one kind of line in all charts of all labs.
type dataPath int

const (
	pathNone dataPath = iota
	pathKubeProxy
	pathSNAT
	pathDSR
	pathLocal
	pathL7
	pathProxyProtocol
	pathDNAT
	pathOther
	dataPaths // how many there are
)

// pathOf is the data path of a variant, by its name.
func pathOf(variant string) dataPath {
	for _, named := range []struct {
		begins string
		path   dataPath
	}{
		{"none", pathNone}, {"direct", pathDSR}, {"kube-proxy", pathKubeProxy}, {"as-is", pathKubeProxy}, {"snat", pathSNAT},
		{"dsr", pathDSR}, {"hybrid", pathDSR}, {"nlb-", pathDSR}, {"spoof-protection", pathDSR}, {"bgp", pathDSR},
		{"local", pathLocal}, {"l7-", pathL7}, {"proxy-", pathProxyProtocol}, {"dnat-only", pathDNAT},
	} {
		if strings.HasPrefix(variant, named.begins) {
			return named.path
		}
	}
	if slices.Contains(underObstacles(), variant) {
		return pathDSR
	}
	return pathOther
}

// underObstacles are the variants of lab 14: DSR on networks that misbehave, and on one that does not.
func underObstacles() []string {
	return []string{
		"healthy", "source-check", "port-security", "urpf", "dnat-nlb", "one-way-firewall", "half-open-firewall", "geneve-blocked", "node-behind-nat",
		"path-mtu", "vlan-overhead", "mtu-mixed", "rp-filter", "conntrack-invalid",
	}
}

// glyph is the mark of the path's points, which tells it apart without colour.
func (d dataPath) glyph() draw.GlyphDrawer {
	switch d {
	case pathKubeProxy:
		return draw.TriangleGlyph{}
	case pathSNAT:
		return draw.SquareGlyph{}
	case pathDSR:
		return draw.CircleGlyph{}
	case pathLocal:
		return draw.PyramidGlyph{}
	case pathL7:
		return draw.BoxGlyph{}
	case pathProxyProtocol:
		return draw.RingGlyph{}
	case pathDNAT:
		return draw.CrossGlyph{}
	default:
		return draw.PlusGlyph{}
	}
}

// dashes are those of the line of a path, and of the nth line of it: the first of DSR is solid.
func (d dataPath) dashes(nth int) []vg.Length {
	if nth > 0 {
		return [][]vg.Length{{1.5, 2}, {5, 2, 1.5, 2}, {8, 3}, {3, 5}}[(nth-1)%4]
	}
	switch d {
	case pathDSR:
		return nil
	case pathSNAT:
		return []vg.Length{6, 3}
	case pathKubeProxy:
		return []vg.Length{2, 2}
	default:
		return []vg.Length{6, 2, 2, 2}
	}
}
