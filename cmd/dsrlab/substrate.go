package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/kind"
)

// substrate is what labs are built from, as the command line says.
type substrate struct {
	name, image string
	keep        bool
}

func (o *substrate) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.name, "substrate", "", "what is built: netns (network namespaces) or kind (a kind cluster; needs Docker and a node image). Default: what the topology says")
	cmd.Flags().StringVar(&o.image, "image", "", "with kind, the image of the nodes (default: "+kind.DefaultImage+"); it is not pulled")
	cmd.Flags().BoolVar(&o.keep, "keep", false, "leave what could not be built to its end, for a look; dsrlab down takes it away")
}

// kind is the substrate as topologies name it; empty where the topology is to say.
func (o *substrate) kind() (topologies.SubstrateKind, error) {
	switch k := topologies.SubstrateKind(o.name); k {
	case "", topologies.SubstrateNetns, topologies.SubstrateKindK:
		return k, nil
	}
	return "", usageError(fmt.Errorf("--substrate: %q is none of netns, kind", o.name))
}

// steps tells what is done, where it takes a while.
func (o *substrate) steps(s streams) func(string) {
	if topologies.SubstrateKind(o.name) != topologies.SubstrateKindK {
		return nil
	}
	return func(step string) { fmt.Fprintln(s.err, step) }
}
