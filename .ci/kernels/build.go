package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// binaries are the programs of the virtual machine.
type binaries struct {
	init  string // file
	tests []testBinary
	demo  []string // files of the demo's programs; none: no demo
}

// testBinary is the compiled test of a package.
type testBinary struct {
	name   string // of the package, from the root of the module
	folder string // of the package
	binary string
}

// build compiles init, the tests of the packages that match the patterns and the programs of the demo, if there is to be one, into
// folder.
func build(ctx context.Context, folder string, patterns []string, withDemo bool) (binaries, error) {
	b := binaries{init: filepath.Join(folder, "init")}
	var packages []listedPackage
	if len(patterns) > 0 {
		var err error
		if packages, err = listTests(ctx, patterns); err != nil {
			return b, err
		}
	}
	if _, err := goCommand(ctx, "build", "-trimpath", "-ldflags=-s -w", "-o", b.init, "github.com/dsrlab/dsrlab/.ci/kernels/init"); err != nil {
		return b, err
	}
	for _, p := range packages {
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, p.Module.Path), "/")
		t := testBinary{name: name, folder: p.Dir, binary: filepath.Join(folder, strings.ReplaceAll(name, "/", "-")+".test")}
		if _, err := goCommand(ctx, "test", "-c", "-ldflags=-s -w", "-o", t.binary, p.ImportPath); err != nil {
			return b, err
		}
		b.tests = append(b.tests, t)
	}
	if !withDemo {
		return b, nil
	}
	for _, name := range demoPrograms() {
		file := filepath.Join(folder, name)
		if _, err := goCommand(ctx, "build", "-trimpath", "-ldflags=-s -w", "-o", file, "github.com/dsrlab/dsrlab/cmd/"+name); err != nil {
			return b, err
		}
		b.demo = append(b.demo, file)
	}
	return b, nil
}

// listedPackage is what `go list -json` tells of a package.
type listedPackage struct {
	ImportPath, Dir           string
	Module                    struct{ Path string }
	TestGoFiles, XTestGoFiles []string
}

// listTests finds the packages that have tests.
func listTests(ctx context.Context, patterns []string) ([]listedPackage, error) {
	out, err := goCommand(ctx, append([]string{"list", "-json=ImportPath,Dir,Module,TestGoFiles,XTestGoFiles"}, patterns...)...)
	if err != nil {
		return nil, err
	}
	var all []listedPackage
	for stream := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listedPackage
		if err := stream.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("parse output of go list: %w", err)
		}
		if len(p.TestGoFiles)+len(p.XTestGoFiles) > 0 {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no package with tests matches %s", strings.Join(patterns, " "))
	}
	return all, nil
}

// goCommand runs the go command for the virtual machine: a static binary for the one architecture whose kernels are fetched.
func goCommand(ctx context.Context, arguments ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", arguments...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(arguments, " "), err, bytes.TrimSpace(complaint.Bytes()))
	}
	return out.Bytes(), nil
}

// testEvents turns the output of a test binary into the events of test2json.
func testEvents(ctx context.Context, output []byte) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", "tool", "test2json")
	cmd.Stdin = bytes.NewReader(output)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go tool test2json: %w", err)
	}
	return out, nil
}
