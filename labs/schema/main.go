// Command schema writes the JSON Schema of lab files, from the Go types: editors complete and check the files by it.
// Run it as `go generate ./labs/schema`.
package main

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
	corev1 "k8s.io/api/core/v1"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/internal/schema"
	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/obstacle"
	"github.com/dsrlab/dsrlab/labs/steps"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

//go:generate go run .

const (
	schemaFile = "lab.schema.json"
	schemaID   = "https://dsrlab.dev/schemas/lab.schema.json"
	module     = "github.com/dsrlab/dsrlab"
)

func main() { schema.Main(schemaFile, generate) }

// generate makes the schema; sources is the folder of package labs, whose comments become descriptions. It must be "..", as the paths of
// the comments follow from it.
func generate(sources string) ([]byte, error) {
	r := &jsonschema.Reflector{Mapper: mapped}
	files := []string{filepath.Join(sources, "testbed", "variant.go"), filepath.Join(sources, "..", "results", "report", "story.go")}
	for _, folder := range []string{sources, filepath.Join(sources, "expect"), filepath.Join(sources, "steps")} {
		more, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		// With the path of this package as base, ".." makes the path of package labs.
		if err := r.AddGoComments(module+"/labs/schema", file); err != nil {
			return nil, fmt.Errorf("read comments of %s: %w", file, err)
		}
	}
	s := r.Reflect(&labs.Lab{})
	s.ID, s.Title = schemaID, "dsrlab lab"
	if err := refine(s); err != nil {
		return nil, err
	}
	return schema.Encode(s)
}

// mapped are the types that are written otherwise than Go's reflection has it.
func mapped(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[topologies.Rate]():
		return schema.Text(`^[0-9]+(bit|kbit|mbit|gbit)$`, "Bits per second, with a unit (powers of ten).", "100mbit", "1gbit")
	case reflect.TypeFor[topologies.Size]():
		return schema.Text(`^[0-9]+(b|kb|mb)$`, "Bytes, with a unit (k is 1024).", "64kb", "3000b")
	case reflect.TypeFor[steps.Duration]():
		return schema.Text(`^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`, "A duration, with units.", "2s", "500ms")
	case reflect.TypeFor[topologies.Limit]():
		return schema.Enum(topologies.LimitShape, topologies.LimitPolice)
	case reflect.TypeFor[topologies.SubstrateKind]():
		return schema.Enum(topologies.SubstrateNetns, topologies.SubstrateKindK)
	case reflect.TypeFor[testbed.DataPath]():
		return schema.Enum(testbed.DataPathNone, testbed.DataPathKubeProxy, testbed.DataPathDNATOnly, testbed.DataPathDSRLab)
	case reflect.TypeFor[testbed.Edge]():
		return schema.Enum(testbed.Edges()...)
	case reflect.TypeFor[services.Mode]():
		return schema.Enum(services.ModeSNAT, services.ModeDSR, services.ModeHybrid)
	case reflect.TypeFor[dataplane.Hook]():
		return schema.Enum(dataplane.HookTC, dataplane.HookXDP)
	case reflect.TypeFor[dataplane.Fault]():
		return schema.Enum(dataplane.Faults()...)
	case reflect.TypeFor[corev1.ServiceExternalTrafficPolicy]():
		return schema.Enum(corev1.ServiceExternalTrafficPolicyCluster, corev1.ServiceExternalTrafficPolicyLocal)
	case reflect.TypeFor[workload.Protocol]():
		return schema.Enum(workload.TCP, workload.UDP)
	case reflect.TypeFor[workload.Direction]():
		return schema.Enum(workload.Download, workload.Upload)
	case reflect.TypeFor[steps.Approach]():
		return schema.Enum(steps.ApproachDirect, steps.ApproachHeader, steps.ApproachProxied)
	case reflect.TypeFor[results.Verdict]():
		return schema.Enum(results.Reproduced, results.Differs, results.NotMeasured)
	}
	return nil
}

// refine adds what checks demand and types don't say.
func refine(s *jsonschema.Schema) error {
	property := func(definition, name string) *jsonschema.Schema {
		p, _ := s.Definitions[definition].Properties.Get(name)
		return p
	}
	property("Lab", "apiVersion").Const = labs.APIVersion
	property("Lab", "kind").Const = labs.Kind
	property("Metadata", "name").Pattern = `^[0-9]{2}-[a-z0-9]+(-[a-z0-9]+)*$`
	for _, name := range topologies.Catalogue() {
		property("Spec", "topology").Enum = append(property("Spec", "topology").Enum, name)
	}
	for _, name := range obstacle.Names() {
		items := property("Variant", "obstacles").Items
		items.Enum = append(items.Enum, name)
	}
	claims, err := results.LoadClaims()
	if err != nil {
		return err
	}
	for _, c := range claims {
		items := property("Expectation", "claims").Items
		items.Enum = append(items.Enum, c.ID)
	}
	one := uint64(1)
	property("Spec", "variants").MinItems, property("Spec", "phases").MinItems, property("Phase", "steps").MinItems = &one, &one, &one
	// A step has exactly one kind.
	step, kinds := s.Definitions["Step"], reflect.TypeFor[steps.Step]()
	for i := range kinds.NumField() {
		if f := kinds.Field(i); f.Type.Kind() == reflect.Pointer {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			step.OneOf = append(step.OneOf, &jsonschema.Schema{Required: []string{name}})
		}
	}
	bounds := []*jsonschema.Schema{{Required: []string{"atLeast"}}, {Required: []string{"atMost"}}}
	s.Definitions["Expectation"].AnyOf = bounds
	return nil
}
