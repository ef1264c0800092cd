package cluster

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fleeting are kinds of objects that come and go without anybody's doing.
var fleeting = []string{"events", "leases.coordination.k8s.io", "componentstatuses"}

// objects are all of the cluster, by kind, namespace and name.
func (c *cluster) objects(t *testing.T) []string {
	t.Helper()
	var kinds []string
	for _, kind := range strings.Fields(c.kubectl(t, "", "api-resources", "--verbs", "list", "-o", "name")) {
		if name, _, _ := strings.Cut(kind, "."); name != "events" && !slices.Contains(fleeting, kind) {
			kinds = append(kinds, kind)
		}
	}
	assert.Greater(t, len(kinds), 30)
	list := c.kubectl(t, "", "get", strings.Join(kinds, ","), "--all-namespaces", "--ignore-not-found", "--no-headers",
		"-o", "custom-columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name,UID:.metadata.uid")
	all := strings.Split(strings.TrimSpace(list), "\n")
	require.Greater(t, len(all), 50, list)
	slices.Sort(all)
	return all
}
