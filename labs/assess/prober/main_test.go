package prober

import (
	"os"
	"testing"

	"github.com/dsrlab/dsrlab/labs/labtest"
)

// testLabs are what this package's tests have built.
var testLabs labtest.Labs

func TestMain(m *testing.M) { os.Exit(testLabs.Main(m)) }
