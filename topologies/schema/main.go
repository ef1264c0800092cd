// Command schema writes the JSON Schema of topology files, from the Go types: editors complete and check the files by it.
// Run it as `go generate ./topologies/schema`.
package main

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/dsrlab/dsrlab/internal/schema"
	"github.com/dsrlab/dsrlab/topologies"
)

//go:generate go run .

const (
	schemaFile = "topology.schema.json"
	schemaID   = "https://dsrlab.dev/schemas/topology.schema.json"
	module     = "github.com/dsrlab/dsrlab"
)

func main() { schema.Main(schemaFile, generate) }

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
	s := r.Reflect(&topologies.Topology{})
	s.ID, s.Title = schemaID, "dsrlab topology"
	refine(s)
	return schema.Encode(s)
}

// mapped are the types that are written otherwise than Go's reflection has it.
func mapped(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[topologies.Rate]():
		return schema.Text(`^[0-9]+(bit|kbit|mbit|gbit)$`, "Bits per second, with a unit (powers of ten).", "100mbit", "1gbit")
	case reflect.TypeFor[topologies.Size]():
		return schema.Text(`^[0-9]+(b|kb|mb)$`, "Bytes, with a unit (k is 1024).", "64kb", "3000b")
	case reflect.TypeFor[netip.Addr]():
		return schema.Text(`^[0-9a-fA-F:.]+$`, "An IP address.", "192.168.1.11", "fd00::11")
	case reflect.TypeFor[netip.Prefix]():
		return schema.Text(`^[0-9a-fA-F:.]+/[0-9]{1,3}$`, "A subnet.", "192.168.1.0/24", "fd00::/64")
	case reflect.TypeFor[topologies.Role]():
		return schema.Enum(topologies.RoleClient, topologies.RoleLB, topologies.RoleWorker, topologies.RoleNLB, topologies.RoleRouter)
	case reflect.TypeFor[topologies.Limit]():
		return schema.Enum(topologies.LimitShape, topologies.LimitPolice)
	case reflect.TypeFor[topologies.SubstrateKind]():
		return schema.Enum(topologies.SubstrateNetns, topologies.SubstrateKindK)
	case reflect.TypeFor[topologies.WorkloadKind]():
		return schema.Enum(topologies.WorkloadKinds()...)
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
