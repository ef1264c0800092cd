package stand

import (
	"fmt"
	"slices"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// DataPath is what stands on the nodes.
type DataPath string

const (
	DataPathNone      DataPath = "none"       // plain routing to the pod itself: the ceiling
	DataPathKubeProxy DataPath = "kube-proxy" // the nftables rules of kube-proxy
	DataPathDNATOnly  DataPath = "dnat-only"  // those rules without masquerading
	DataPathDSRLab    DataPath = "dsrlab"     // our own eBPF programs
)

// Variant is one way of running a lab.
type Variant struct {
	Name     string   `json:"name"`
	DataPath DataPath `json:"dataPath"`
	// Mode of services without an annotation; for dataPath dsrlab only.
	Mode services.Mode `json:"mode,omitempty"`
	// Hook on the nodes' devices towards the fabric: tc (default) or xdp; for dataPath dsrlab only.
	Hook dataplane.Hook `json:"hook,omitempty"`
}

// Validate says what is wrong with the variant.
func (v Variant) Validate() error {
	known := []DataPath{DataPathNone, DataPathKubeProxy, DataPathDNATOnly, DataPathDSRLab}
	if !slices.Contains(known, v.DataPath) {
		return fmt.Errorf("dataPath: %q is none of %v", v.DataPath, known)
	}
	if v.DataPath != DataPathDSRLab {
		if v.Mode != "" || v.Hook != "" {
			return fmt.Errorf("mode, hook: only dataPath %s has them", DataPathDSRLab)
		}
		return nil
	}
	if hooks := []dataplane.Hook{"", dataplane.HookTC, dataplane.HookXDP}; !slices.Contains(hooks, v.Hook) {
		return fmt.Errorf("hook: %q is none of tc, xdp", v.Hook)
	}
	_, err := services.ParseMode(string(v.Mode))
	return err
}

// Target is a port of a service. In variants whose data path is none, it is the service's first pod instead.
type Target struct {
	Service string `json:"service"`
	// Port is the name of the service's port.
	Port string `json:"port"`
}
