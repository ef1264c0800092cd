package cluster

import (
	"os"
	"testing"

	"github.com/dsrlab/dsrlab/topologies/netns/sandbox"
)

func TestMain(m *testing.M) { os.Exit(sandbox.Main(m)) }
