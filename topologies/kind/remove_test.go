package kind

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/topologies/netns"
)

// engine is a docker that knows one node of cluster dsrlab-talk, in which a file is mounted, and one network of this name, with the label 1.
const engine = `#!/bin/sh
case "$*" in
"ps "*dsrlab-talk*) echo c0ffee ;;
"inspect "*) echo "$MOUNTED" ;;
"network ls "*dsrlab-talk*) echo dsrlab-talk ;;
"network inspect "*) echo '[{"Name":"dsrlab-talk","Labels":{"dsrlab.dev/lab":"1"},"Options":{"com.docker.network.bridge.name":"dsrl1"}}]' ;;
esac
`

// A cluster whose record is lost is found by what is mounted in its nodes, a network also by its label. Others of the same name are not.
func TestFind(t *testing.T) {
	bin, dir := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bin, "docker"), []byte(engine), 0o755))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	cluster := netns.Resource{Kind: ownedCluster, Name: "dsrlab-talk"}
	network := []netns.Resource{{Kind: ownedNetwork, Name: "dsrlab-talk", Value: "1"}, {Kind: ownedGuard, Name: "dsrl1"}}
	for _, c := range []struct {
		name, network, mounted string
		ids                    []string
		want                   []netns.Resource
	}{
		{"its cluster", "talk", refusePath(dir), nil, append([]netns.Resource{cluster}, network...)},
		{"its network only", "talk", "/elsewhere", []string{"2", "1"}, network},
		{"another's", "talk", "/elsewhere", []string{"2"}, nil},
		{"none", "edge", "", []string{"1"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("MOUNTED", c.mounted)
			found, err := (&Provider{}).Find(t.Context(), c.network, dir, c.ids)
			require.NoError(t, err)
			assert.Equal(t, c.want, found)
		})
	}
}

func TestFindWithoutEngine(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	found, err := (&Provider{}).Find(t.Context(), "talk", t.TempDir(), nil)
	require.NoError(t, err)
	assert.Empty(t, found)
}
