package obstacle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
)

// obstaclesFile holds the names of a testbed's obstacles, a line each.
const obstaclesFile = "obstacles"

// Set replaces the obstacles of a running testbed by those of some names; without any it takes them all away. If it fails there are none.
func Set(ctx context.Context, tb *testbed.Testbed, names ...string) error {
	if err := Check(tb.Plan(), names...); err != nil {
		return err
	}
	if err := removeAll(ctx, tb); err != nil || len(names) == 0 {
		return err
	}
	// The record comes first: what is there only in part can be removed, too.
	path := filepath.Join(tb.Network().Dir(), obstaclesFile)
	if err := os.WriteFile(path, []byte(strings.Join(names, "\n")), 0o600); err != nil {
		return fmt.Errorf("record obstacles: %w", err)
	}
	for _, name := range names {
		o, err := Lookup(name)
		if err == nil {
			err = o.Install(ctx, tb)
		}
		if err != nil {
			return errors.Join(err, removeAll(context.WithoutCancel(ctx), tb))
		}
	}
	return nil
}

// Check returns an error for obstacles that a plan's network can't have.
func Check(p *topologies.Plan, names ...string) error {
	var errs []error
	for _, name := range names {
		_, err := Lookup(name)
		errs = append(errs, err)
		if name == nlb && len(p.NodesOf(topologies.RoleNLB)) == 0 {
			errs = append(errs, fmt.Errorf("obstacle %s: topology %s has no node of role %s", name, p.Name, topologies.RoleNLB))
		}
	}
	if len(names) > 0 && p.Substrate == topologies.SubstrateKindK {
		errs = append(errs, fmt.Errorf("obstacles: found substrate %s (want %s)", p.Substrate, topologies.SubstrateNetns))
	}
	return errors.Join(errs...)
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
	for name := range strings.SplitSeq(string(record), "\n") {
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
