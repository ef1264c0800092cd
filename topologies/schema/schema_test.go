package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/dsrlab/dsrlab/topologies"
)

func TestSchemaIsUpToDate(t *testing.T) {
	want, err := generate("..")
	require.NoError(t, err)
	got, err := os.ReadFile(schemaFile)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "run go generate ./topologies/schema")
}

// compiled is the committed schema.
func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	file, err := os.Open(schemaFile)
	require.NoError(t, err)
	defer file.Close()
	document, err := jsonschema.UnmarshalJSON(file)
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource(schemaID, document))
	schema, err := c.Compile(schemaID)
	require.NoError(t, err)
	return schema
}

func instance(t *testing.T, document []byte) any {
	t.Helper()
	text, err := yaml.YAMLToJSON(document)
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	return value
}

func TestCatalogueFollowsSchema(t *testing.T) {
	schema := compiled(t)
	for _, name := range topologies.Catalogue() {
		t.Run(name, func(t *testing.T) {
			source, err := topologies.Source(name)
			require.NoError(t, err)
			assert.NoError(t, schema.Validate(instance(t, source)))

			topology, err := topologies.Lookup(name)
			require.NoError(t, err)
			topologies.Default(topology)
			shown, err := json.Marshal(topology)
			require.NoError(t, err)
			assert.NoError(t, schema.Validate(instance(t, shown)), "with its defaults filled in")
		})
	}
}

func TestValidFilesFollowSchema(t *testing.T) {
	schema := compiled(t)
	files, err := filepath.Glob("../testdata/valid-*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.NoError(t, schema.Validate(instance(t, source)), file)
	}
}

func TestSchemaRefuses(t *testing.T) {
	source, err := topologies.Source("talk")
	require.NoError(t, err)
	schema := compiled(t)
	for name, change := range map[string][2]string{
		"unknown field":      {"role: client", "role: client\n    colour: red"},
		"missing field":      {"    role: client\n", ""},
		"unknown role":       {"role: client", "role: switch"},
		"rate without unit":  {"rate: 100mbit", "rate: 100"},
		"unknown limit":      {"rate: 100mbit", "rate: 100mbit, limit: drop"},
		"rate of wrong unit": {"rate: 100mbit", "rate: 100mb"},
		"no address":         {"addresses: [192.168.1.11] ", "addresses: [lb.example.org] "},
		"no address at all":  {"    addresses: [192.168.1.11] ", "    # "},
		"three addresses":    {"    addresses: [192.168.1.11] ", "    addresses: [192.168.1.11, fd00::1, fd00::2] "},
		"no subnet":          {"    subnets: [192.168.1.0/24]\n", ""},
		"apiVersion":         {"apiVersion: dsrlab.dev/v1alpha1", "apiVersion: dsrlab.dev/v2"},
		"protocol":           {"protocol: UDP", "protocol: SCTP"},
		"nodePort":           {"nodePort: 31001", "nodePort: 80"},
		"service's field":    {"externalTrafficPolicy: Cluster", "externalTrafficPolcy: Cluster"},
		"mode":               {"metadata: {name: tcp-echo}", "metadata: {name: tcp-echo, annotations: {dsrlab.dev/forwarding-mode: nat}}"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(string(source), change[0], change[1], 1)
			require.NotEqual(t, string(source), changed)
			assert.Error(t, schema.Validate(instance(t, []byte(changed))))
		})
	}
}
