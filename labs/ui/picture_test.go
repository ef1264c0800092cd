package ui

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/topologies"
)

var update = flag.Bool("update", false, "write the golden files")

func TestDraw(t *testing.T) {
	for _, name := range []string{"talk", "five-nodes", "edge", "oversubscription"} {
		for _, layout := range []Layout{Wide, Narrow} {
			t.Run(name+"-"+string(layout), func(t *testing.T) {
				picture, err := Draw(planOf(t, name), layout)
				require.NoError(t, err)
				path := filepath.Join("testdata", name+"-"+string(layout)+".svg")
				if *update {
					require.NoError(t, os.WriteFile(path, picture, 0o644))
				}
				golden, err := os.ReadFile(path)
				require.NoError(t, err)
				assert.Equal(t, string(golden), string(picture))
			})
		}
	}
}

// TestDrawAll draws every topology of the catalogue, with no two nodes of a column over each other.
func TestDrawAll(t *testing.T) {
	for _, name := range topologies.Catalogue() {
		for _, l := range []Layout{Wide, Narrow} {
			_, err := Draw(planOf(t, name), l)
			require.NoError(t, err, name)
			p := layOut(planOf(t, name), l)
			for i, a := range p.boxes {
				assert.GreaterOrEqual(t, a.y, 0.0, name)
				assert.LessOrEqual(t, a.y+a.h, p.height, name)
				for _, b := range p.boxes[i+1:] {
					assert.False(t, a.x == b.x && a.y < b.y+b.h && b.y < a.y+a.h, "%s: %s and %s overlap", name, a.Name, b.Name)
				}
			}
		}
	}
}

func TestDescribe(t *testing.T) {
	d := describe("x", planOf(t, "talk"))
	assert.Equal(t, description{
		Name: "x", Topology: "talk", Clients: []string{"client"}, Downloads: []string{"tcp-echo"}, Echoes: []string{"tcp-echo"},
		Limited: []string{"lb"}, Mortal: []string{},
	}, d)
	assert.Equal(t, []string{"lb-1", "lb-2"}, describe("x", planOf(t, "five-nodes")).Mortal)
}
