package remote

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// The README's role has all rights that are asked for, and besides only ones to read.
func TestReadmeNamesTheRights(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	const begin = "```yaml\n"
	at := strings.Index(string(text), begin+"apiVersion: rbac.")
	require.GreaterOrEqual(t, at, 0)
	document, _, _ := strings.Cut(string(text)[at+len(begin):], "```")
	var role rbacv1.ClusterRole
	require.NoError(t, yaml.UnmarshalStrict([]byte(document), &role))
	have := map[single]bool{}
	for _, rule := range role.Rules {
		for _, verb := range rule.Verbs {
			have[single{rule.APIGroups[0], rule.Resources[0], verb}] = true
		}
	}
	for _, want := range slices.Concat(rights(), expiryRights()) {
		for _, verb := range want.verbs {
			key := single{want.group, want.resource, verb}
			assert.True(t, have[key], "%v", key)
			delete(have, key)
		}
	}
	for more := range have {
		assert.Contains(t, []string{"list", "get"}, more.verb, more.resource)
	}
}

type single struct{ group, resource, verb string }
