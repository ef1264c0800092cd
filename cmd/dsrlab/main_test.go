package main

import (
	"os"
	"testing"

	"github.com/dsrlab/dsrlab/labs/labtest"
)

// testLabs are what this package's tests have built.
var testLabs labtest.Labs

func TestMain(m *testing.M) {
	if os.Getenv(mainEnv) != "" {
		main()
	}
	os.Exit(testLabs.Main(m))
}
