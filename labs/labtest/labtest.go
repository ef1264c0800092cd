// Package labtest takes down what tests have built, when they are interrupted too.
package labtest

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/topologies/kind"
	"github.com/dsrlab/dsrlab/topologies/netns"
	"github.com/dsrlab/dsrlab/topologies/netns/sandbox"
)

// Labs are the state folders of the tests of one package.
type Labs struct {
	mu   sync.Mutex
	dirs map[string]bool
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
		os.Exit(1)
	}()
	return sandbox.MainNamed(m)
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
