package main

import (
	"encoding/json"
	"fmt"

	"github.com/invopop/jsonschema"

	"github.com/dsrlab/dsrlab/topologies"
)

// namePattern is a DNS label that begins with a letter (RFC 1035).
const namePattern = "^[a-z]([a-z0-9-]*[a-z0-9])?$"

// refine adds what checks demand and types don't say.
func refine(s *jsonschema.Schema) {
	properties := func(definition string) func(name string) *jsonschema.Schema {
		return func(name string) *jsonschema.Schema {
			property, _ := s.Definitions[definition].Properties.Get(name)
			return property
		}
	}
	topology, spec := properties("Topology"), properties("Spec")
	topology("apiVersion").Const = topologies.APIVersion
	topology("kind").Const = topologies.Kind
	between(spec("mtu"), 576, 9000)
	between(properties("NetworkSpec")("mtu"), 1280, 9000)
	spec("congestionControl").Pattern = "^[a-z0-9_]{1,15}$"
	one := uint64(1)
	spec("networks").MinItems, spec("nodes").MinItems = &one, &one
	for _, definition := range []string{"Metadata", "NetworkSpec", "NodeSpec", "PodSpec"} {
		name := properties(definition)("name")
		longest := uint64(topologies.MaxNameLength)
		name.Pattern, name.MaxLength = namePattern, &longest
	}
	refineLists(properties)
	between(properties("NodeSpec")("replicas"), 1, topologies.MaxNodes)
	between(properties("PodSpec")("replicas"), 1, topologies.MaxPods)
	between(properties("LinkSpec")("overhead"), 0, 256)
	between(properties("Shape")("overhead"), 0, 256)
	between(properties("WorkloadSpec")("port"), 1, 65535)
	refineService(s, properties)
}

// refineLists bounds the lists that have one value, or one of each IP version.
func refineLists(properties func(string) func(string) *jsonschema.Schema) {
	one, two := uint64(1), uint64(2)
	for definition, fields := range map[string][]string{
		"NetworkSpec": {"subnets", "gateways"}, "NodeSpec": {"addresses", "podCIDRs"}, "PodSpec": {"addresses"},
	} {
		for _, field := range fields {
			properties(definition)(field).MaxItems = &two
		}
	}
	properties("NetworkSpec")("subnets").MinItems = &one
	properties("NodeSpec")("addresses").MinItems = &one
}

func refineService(s *jsonschema.Schema, properties func(string) func(string) *jsonschema.Schema) {
	service := s.Definitions["v1.Service"]
	service.Required = []string{"metadata", "spec"}
	top := properties("v1.Service")
	top("apiVersion").Const = "v1"
	top("kind").Const = "Service"
	spec, port := properties("v1.ServiceSpec"), properties("v1.ServicePort")
	spec("type").Enum = []any{"ClusterIP", "NodePort", "LoadBalancer"}
	spec("externalTrafficPolicy").Enum = []any{"Cluster", "Local"}
	spec("internalTrafficPolicy").Enum = []any{"Cluster", "Local"}
	spec("sessionAffinity").Enum = []any{"None", "ClientIP"}
	port("protocol").Enum = []any{"TCP", "UDP"}
	between(port("port"), 1, 65535)
	between(port("nodePort"), 30000, 32767)

	mode := jsonschema.NewProperties()
	mode.Set(topologies.ModeAnnotation, &jsonschema.Schema{
		Type: "string", Enum: []any{"snat", "dsr", "hybrid"},
		Description: "Forwarding mode of the service: hybrid is dsr for TCP and snat for UDP.",
	})
	properties("meta.v1.ObjectMeta")("annotations").Properties = mode
}

// between bounds a number, both ends included.
func between(s *jsonschema.Schema, lowest, highest int) {
	s.Minimum, s.Maximum = json.Number(fmt.Sprint(lowest)), json.Number(fmt.Sprint(highest))
}
