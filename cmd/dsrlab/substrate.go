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
	// cluster is of commands that run labs; others do not have its flags.
	cluster clusterOptions
}

func (o *substrate) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.name, "substrate", "", "what is built: netns (network namespaces) or kind (a kind cluster; needs Docker and a node image). Default: what the topology says")
	cmd.Flags().StringVar(&o.image, "image", "", "with kind, the image of the nodes (default: "+kind.DefaultImage+"); it is not pulled")
	cmd.Flags().BoolVar(&o.keep, "keep", false, "leave what could not be built to its end, for a look; dsrlab down takes it away")
}

// labFlags are those of commands that run labs, which an existing cluster can do, too.
func (o *substrate) labFlags(cmd *cobra.Command) {
	o.flags(cmd)
	cmd.Flags().Lookup("substrate").Usage = "where labs run: netns (network namespaces), kind (a kind cluster; needs Docker and a node image), " +
		"or cluster (one that exists, on which nothing is installed; see --kubeconfig). Default: what the topology says"
	o.cluster.flags(cmd)
}

// kind is the substrate as topologies name it; empty where the topology is to say.
func (o *substrate) kind() (topologies.SubstrateKind, error) {
	switch k := topologies.SubstrateKind(o.name); k {
	case "", topologies.SubstrateNetns, topologies.SubstrateKindK:
		return k, nil
	}
	known := []string{"netns", "kind"}
	if o.cluster != (clusterOptions{}) {
		known = append(known, "cluster")
	}
	return "", usageError(fmt.Errorf("--substrate: unknown substrate %q (want %s)", o.name, anyOf(known)))
}

// steps tells what is done, where it takes a while.
func (o *substrate) steps(s streams) func(string) {
	if topologies.SubstrateKind(o.name) != topologies.SubstrateKindK {
		return nil
	}
	return func(step string) { fmt.Fprintln(s.err, step) }
}
