package testbed

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/dsrlab/dsrlab/dataplane/kube"
	"github.com/dsrlab/dsrlab/dataplane/kube/manifests"
)

// TestDeployedConfig: agents of a lab's cluster have the manifests' configuration, and may serve the externalIPs of its topology.
func TestDeployedConfig(t *testing.T) {
	read := func(change func([]byte) []byte) kube.Config {
		t.Helper()
		data, err := manifests.Files.ReadFile("configmap.yaml")
		require.NoError(t, err)
		var configMap corev1.ConfigMap
		require.NoError(t, yaml.UnmarshalStrict(change(data), &configMap))
		config, err := kube.ParseConfig("config.yaml", []byte(configMap.Data["config.yaml"]))
		require.NoError(t, err)
		return config
	}
	want := read(func(data []byte) []byte { return data })
	assert.Empty(t, want.LoadBalancer.ExternalIPs)
	want.LoadBalancer.ExternalIPs = everywhere()
	assert.Equal(t, want, read(allowExternalIPs))
}
