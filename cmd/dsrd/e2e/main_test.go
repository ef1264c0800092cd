// Package e2e tests dsrd from end to end: the program runs on the nodes of a testbed, reads from a file what a cluster would tell it, and
// real traffic shows what it did. It uses nothing but what dsrd and testbeds show to everyone, and it is beside dsrd, as nothing below cmd
// knows of programs. .ci/kubernetes/apiserver has the same with a real API server.
package e2e

import (
	"os"
	"testing"

	"github.com/dsrlab/dsrlab/labs/labtest"
)

// programs are those that tests start, and what they have built.
var programs labtest.Labs

func TestMain(m *testing.M) { os.Exit(programs.Main(m)) }
