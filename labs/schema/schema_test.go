package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

func TestSchemaIsUpToDate(t *testing.T) {
	want, err := generate("..")
	require.NoError(t, err)
	got, err := os.ReadFile(schemaFile)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "run go generate ./labs/schema")
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

func instance(t *testing.T, document string) any {
	t.Helper()
	text, err := yaml.YAMLToJSON([]byte(document))
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	return value
}

func TestLabsFollowSchema(t *testing.T) {
	schema := compiled(t)
	files, err := filepath.Glob("../[0-9]*/lab.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.NoError(t, schema.Validate(instance(t, string(source))), file)
	}
}

func TestSchemaRefuses(t *testing.T) {
	data, err := os.ReadFile("../01-source-ip/lab.yaml")
	require.NoError(t, err)
	source, schema := string(data), compiled(t)
	require.NoError(t, schema.Validate(instance(t, source)))
	for name, change := range map[string][2]string{
		"apiVersion":        {"apiVersion: dsrlab.dev/v1alpha1", "apiVersion: dsrlab.dev/v2"},
		"unknown field":     {"  question:", "  questoin: which\n  question:"},
		"missing field":     {"  topology: source-ip", ""},
		"unknown topology":  {"topology: source-ip", "topology: sourceip"},
		"unknown data path": {"dataPath: kube-proxy", "dataPath: ipvs"},
		"unknown mode":      {"mode: snat", "mode: nat"},
		"unknown step":      {"- connect:", "- conect:"},
		"unknown protocol":  {"protocol: tcp", "protocol: sctp"},
		"unknown claim":     {"claims: [", "claims: [X-1, "},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(source, change[0], change[1], 1)
			require.NotEqual(t, source, changed)
			assert.Error(t, schema.Validate(instance(t, changed)))
		})
	}
}
