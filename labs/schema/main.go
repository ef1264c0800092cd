// Command schema writes the JSON Schema of lab files, from the Go types: editors complete and check the files by it.
// Run it as `go generate ./labs/schema`.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
	corev1 "k8s.io/api/core/v1"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs"
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

func main() {
	schema, err := generate("..")
	if err == nil {
		err = os.WriteFile(schemaFile, schema, 0o644)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "schema: %v\n", err)
		os.Exit(1)
	}
}

// generate makes the schema; sources is the folder of package labs, whose comments become descriptions. It must be "..", as the paths of
// the comments follow from it.
func generate(sources string) ([]byte, error) {
	r := &jsonschema.Reflector{Mapper: mapped}
	files, err := filepath.Glob(filepath.Join(sources, "*.go"))
	if err != nil {
		return nil, err
	}
	for _, file := range append(files, filepath.Join(sources, "testbed", "variant.go")) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		// With the path of this package as base, ".." makes the path of package labs.
		if err := r.AddGoComments(module+"/labs/schema", file); err != nil {
			return nil, fmt.Errorf("read comments of %s: %w", file, err)
		}
	}
	schema := r.Reflect(&labs.Lab{})
	schema.ID = schemaID
	schema.Title = "dsrlab lab"
	if err := refine(schema); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(schema); err != nil {
		return nil, fmt.Errorf("encode schema: %w", err)
	}
	// The library's own MarshalJSON escapes for HTML.
	return []byte(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(out.String())), nil
}

// mapped are the types that are written otherwise than Go's reflection has it.
func mapped(t reflect.Type) *jsonschema.Schema {
	text := func(pattern, description string, examples ...any) *jsonschema.Schema {
		return &jsonschema.Schema{Type: "string", Pattern: pattern, Description: description, Examples: examples}
	}
	switch t {
	case reflect.TypeFor[topologies.Rate]():
		return text(`^[0-9]+(bit|kbit|mbit|gbit)$`, "Bits per second, with a unit (powers of ten).", "100mbit", "1gbit")
	case reflect.TypeFor[topologies.Size]():
		return text(`^[0-9]+(b|kb|mb)$`, "Bytes, with a unit (k is 1024).", "64kb", "3000b")
	case reflect.TypeFor[labs.Duration]():
		return text(`^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`, "A duration, with units.", "2s", "500ms")
	case reflect.TypeFor[topologies.Limit]():
		return enum(topologies.LimitShape, topologies.LimitPolice)
	case reflect.TypeFor[topologies.SubstrateKind]():
		return enum(topologies.SubstrateNetns, topologies.SubstrateKindK)
	case reflect.TypeFor[testbed.DataPath]():
		return enum(testbed.DataPathNone, testbed.DataPathKubeProxy, testbed.DataPathDNATOnly, testbed.DataPathDSRLab)
	case reflect.TypeFor[testbed.Edge]():
		return enum(testbed.Edges()...)
	case reflect.TypeFor[services.Mode]():
		return enum(services.ModeSNAT, services.ModeDSR, services.ModeHybrid)
	case reflect.TypeFor[dataplane.Hook]():
		return enum(dataplane.HookTC, dataplane.HookXDP)
	case reflect.TypeFor[dataplane.Fault]():
		return enum(dataplane.Faults()...)
	case reflect.TypeFor[corev1.ServiceExternalTrafficPolicy]():
		return enum(corev1.ServiceExternalTrafficPolicyCluster, corev1.ServiceExternalTrafficPolicyLocal)
	case reflect.TypeFor[workload.Protocol]():
		return enum(workload.TCP, workload.UDP)
	case reflect.TypeFor[workload.Direction]():
		return enum(workload.Download, workload.Upload)
	case reflect.TypeFor[labs.Approach]():
		return enum(labs.ApproachDirect, labs.ApproachHeader, labs.ApproachProxied)
	case reflect.TypeFor[results.Verdict]():
		return enum(results.Reproduced, results.Differs, results.NotMeasured)
	}
	return nil
}

// enum is a string that has one of some values, the empty one excluded.
func enum[T ~string](values ...T) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string"}
	for _, v := range values {
		if v != "" {
			s.Enum = append(s.Enum, string(v))
		}
	}
	return s
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
	step, kinds := s.Definitions["Step"], reflect.TypeFor[labs.Step]()
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
