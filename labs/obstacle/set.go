package obstacle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/dsrlab/dsrlab/labs/testbed"
)

// obstaclesFile holds the names of a testbed's obstacles, a line each.
const obstaclesFile = "obstacles"

// Set replaces the obstacles of a running testbed by those of some names; without any it removes them all. Names that the testbed can't have
// are refused before anything is changed. If installing fails, also because ctx has ended, Set removes what it has installed; what can't be
// removed stays recorded, for the next Set.
func Set(ctx context.Context, tb *testbed.Testbed, names ...string) error {
	if err := Check(tb.Plan(), names...); err != nil {
		return err
	}
	if err := removeAll(context.WithoutCancel(ctx), tb); err != nil {
		return err
	}
	if len(names) == 0 {
		return context.Cause(ctx)
	}
	// The record comes first: what is there only in part can be removed, too.
	path := filepath.Join(tb.Network().Dir(), obstaclesFile)
	if err := renameio.WriteFile(path, []byte(strings.Join(names, "\n")), 0o600); err != nil {
		return fmt.Errorf("record obstacles: %w", err)
	}
	if err := installAll(ctx, tb, names); err != nil {
		return errors.Join(err, removeAll(context.WithoutCancel(ctx), tb))
	}
	return nil
}

// installAll installs obstacles one after the other, until ctx ends.
func installAll(ctx context.Context, tb *testbed.Testbed, names []string) error {
	for _, name := range names {
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("install obstacle %s: %w", name, err)
		}
		o, err := Lookup(name)
		if err != nil {
			return err
		}
		if err := o.Install(ctx, tb); err != nil {
			return err
		}
	}
	return context.Cause(ctx) // the last one has not asked for it
}

// removeAll removes all obstacles that the testbed's record names.
func removeAll(ctx context.Context, tb *testbed.Testbed) error {
	path := filepath.Join(tb.Network().Dir(), obstaclesFile)
	record, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read obstacles: %w", err)
	}
	var errs []error
	for name := range strings.FieldsSeq(string(record)) { // no name has a space, and no line need have a name
		o, err := Lookup(name)
		if err == nil {
			err = o.Remove(ctx, tb)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return os.Remove(path)
}
