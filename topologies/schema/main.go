// Command schema writes the JSON Schema of topology files, from the Go types: editors complete and check the files by it.
// Run it as `go generate ./topologies/schema`.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/dsrlab/dsrlab/topologies"
)

//go:generate go run .

const (
	schemaFile = "topology.schema.json"
	schemaID   = "https://dsrlab.dev/schemas/topology.schema.json"
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

// generate makes the schema; sources is the folder of package topologies, whose comments become descriptions. It must be
// "..", as the paths of the comments follow from it.
func generate(sources string) ([]byte, error) {
	r := &jsonschema.Reflector{Mapper: mapped, Namer: name, LookupComment: kubernetesComment}
	for _, file := range []string{"topology.go", "plan.go", "units.go"} {
		// With the path of this package as base, ".." makes the path of package topologies.
		if err := r.AddGoComments(module+"/topologies/schema", filepath.Join(sources, file)); err != nil {
			return nil, fmt.Errorf("read comments of %s: %w", file, err)
		}
	}
	schema := r.Reflect(&topologies.Topology{})
	schema.ID = schemaID
	schema.Title = "dsrlab topology"
	refine(schema)
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
	enum := func(values ...any) *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Enum: values} }
	switch t {
	case reflect.TypeFor[topologies.Rate]():
		return text(`^[0-9]+(bit|kbit|mbit|gbit)$`, "Bits per second, with a unit (powers of ten).", "100mbit", "1gbit")
	case reflect.TypeFor[topologies.Size]():
		return text(`^[0-9]+(b|kb|mb)$`, "Bytes, with a unit (k is 1024).", "64kb", "3000b")
	case reflect.TypeFor[netip.Addr]():
		return text(`^[0-9a-fA-F:.]+$`, "An IP address.", "192.168.1.11", "fd00::11")
	case reflect.TypeFor[netip.Prefix]():
		return text(`^[0-9a-fA-F:.]+/[0-9]{1,3}$`, "A subnet.", "192.168.1.0/24", "fd00::/64")
	case reflect.TypeFor[topologies.Role]():
		return enum(topologies.RoleClient, topologies.RoleLB, topologies.RoleWorker, topologies.RoleNLB, topologies.RoleRouter)
	case reflect.TypeFor[topologies.Limit]():
		return enum(topologies.LimitShape, topologies.LimitPolice)
	case reflect.TypeFor[topologies.SubstrateKind]():
		return enum(topologies.SubstrateNetns, topologies.SubstrateKindK)
	case reflect.TypeFor[topologies.WorkloadKind]():
		var kinds []any
		for _, k := range topologies.WorkloadKinds() {
			kinds = append(kinds, k)
		}
		return enum(kinds...)
	case reflect.TypeFor[intstr.IntOrString]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "integer"}, {Type: "string"}}}
	case reflect.TypeFor[metav1.Time]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", Format: "date-time"}, {Type: "null"}}}
	case reflect.TypeFor[metav1.FieldsV1]():
		return &jsonschema.Schema{Type: "object"}
	}
	return nil
}

// name keeps topologies.Metadata and the like apart from the types of Kubernetes.
func name(t reflect.Type) string {
	switch t.PkgPath() {
	case "k8s.io/api/core/v1":
		return "v1." + t.Name()
	case "k8s.io/apimachinery/pkg/apis/meta/v1":
		return "meta.v1." + t.Name()
	}
	return t.Name()
}

// kubernetesComment describes types and fields of Kubernetes in its own words.
func kubernetesComment(t reflect.Type, field string) string {
	documented, ok := reflect.New(t).Interface().(interface{ SwaggerDoc() map[string]string })
	if !ok {
		return ""
	}
	if field != "" {
		f, _ := t.FieldByName(field)
		field, _, _ = strings.Cut(f.Tag.Get("json"), ",")
	}
	return documented.SwaggerDoc()[field]
}
