// Package labtest takes down what tests have built, when they are interrupted too, and has the programs that they start, and
// what tests ask of testbeds.
package labtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/topologies/kind"
	"github.com/dsrlab/dsrlab/topologies/netns"
	"github.com/dsrlab/dsrlab/topologies/netns/sandbox"
)

// ProgramsEnv is the environment variable that names a folder with this project's programs, as `make build` makes it. Without it each
// package's tests link the programs that they need, which takes seconds each.
const ProgramsEnv = "DSRLAB_TEST_PROGRAMS"

// Labs are the state folders of the tests of one package, and its programs.
type Labs struct {
	mu   sync.Mutex
	dirs map[string]bool

	programs programs
}

// programs are this project's programs that a package's tests have built.
type programs struct {
	mu     sync.Mutex
	folder string // of this package's tests alone, removed by Main; empty: none was built
	built  map[string]error
}

// Program returns the path of one of this project's programs, built from this source: that of ProgramsEnv, or one that the first test
// which needs it builds for all of the package. All programs are in one folder, so that they find each other. The test is skipped
// without root: it would start the program in a network namespace.
func (l *Labs) Program(t testing.TB, name string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	if folder := os.Getenv(ProgramsEnv); folder != "" {
		path := filepath.Join(folder, name)
		require.FileExists(t, path, "%s names the folder; `make build` builds it", ProgramsEnv)
		return path
	}
	folder, err := l.programs.build(name)
	require.NoError(t, err)
	return filepath.Join(folder, name)
}

// build builds a program if it has not been built yet, and returns the folder that it is in.
func (p *programs) build(name string) (folder string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.folder == "" {
		if p.folder, err = os.MkdirTemp("", "dsrlab-programs-"); err != nil {
			return "", fmt.Errorf("build %s: %w", name, err)
		}
		p.built = make(map[string]error)
	}
	err, done := p.built[name]
	if !done {
		cmd := exec.Command("go", "build", "-o", p.folder+"/", "github.com/dsrlab/dsrlab/cmd/"+name)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // static: it runs in namespaces, and beside other C libraries
		var output []byte
		if output, err = cmd.CombinedOutput(); err != nil {
			err = fmt.Errorf("build %s: %w\n%s", name, err, output)
		}
		p.built[name] = err
	}
	return p.folder, err
}

// remove removes the programs.
func (p *programs) remove() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.folder == "" {
		return nil
	}
	return os.RemoveAll(p.folder)
}

// StateDir is a state folder for one test. All labs in it are taken down when the test ends, however it ends.
func (l *Labs) StateDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dirs == nil {
		l.dirs = make(map[string]bool)
	}
	l.dirs[dir] = true
	t.Cleanup(func() { // after an interrupt this waits for good: the folder must not go before Main is done with it
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.dirs, dir)
		assert.NoError(t, downAll(dir))
	})
	return dir
}

// Main runs the tests of a package in a sandbox (sandbox.MainNamed): a testbed that a killed run left does not hold a name. An
// interrupt takes down what is running, and ends them.
func (l *Labs) Main(m *testing.M) int {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		l.mu.Lock() // and never unlocked
		for dir := range l.dirs {
			if err := downAll(dir); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
		if err := l.programs.remove(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}()
	code := sandbox.MainNamed(m)
	if err := l.programs.remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code
}

func downAll(dir string) error {
	standing, err := netns.List(dir)
	if err != nil {
		return err
	}
	for _, s := range standing {
		if err := netns.Down(context.Background(), dir, s.Name, &kind.Provider{}); err != nil {
			return err
		}
	}
	return nil
}
