package kind

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dsrlab/dsrlab/topologies/netns"
)

// What a lab owns outside of its namespaces.
const (
	ownedCluster = "cluster" // by kind's name
	ownedNetwork = "network" // of the engine; Value is its label
	ownedGuard   = "guard"   // nftables table
	ownedSetting = "setting" // sysctl; Value is that of before
)

// Remove takes the cluster away, then its network, then what guarded it, and restores what kubelet changed of the machine.
func (m *Maker) Remove(ctx context.Context, dir string, owned []netns.Owned, earlierBoot bool) error {
	order := []string{ownedCluster, ownedNetwork, ownedGuard, ownedSetting}
	owned = slices.Clone(owned)
	slices.SortStableFunc(owned, func(a, b netns.Owned) int { return slices.Index(order, a.What) - slices.Index(order, b.What) })
	for _, o := range owned {
		var err error
		switch {
		case o.What == ownedCluster:
			if endStragglers(o.Name) {
				time.Sleep(straggle)
			}
			err = removeCluster(o.Name, dir)
		case o.What == ownedNetwork:
			err = removeInhabited(ctx, o.Name, o.Value, dir)
		case earlierBoot: // the kernel of the other two is gone
		case o.What == ownedGuard:
			err = removeGuard(o.Name)
		case o.What == ownedSetting:
			err = restoreSetting(o.Name, o.Value)
		}
		if err != nil {
			return err // the guard stays as long as what it guards
		}
	}
	return nil
}

// removeCluster is no error if there is none.
func removeCluster(name, dir string) error {
	if err := provider(nil).Delete(name, kubeconfigPath(dir)); err != nil {
		return fmt.Errorf("remove cluster %s: %w: is Docker running?", name, err)
	}
	return nil
}

const (
	// removeTries is how often containers may still turn up that someone was making who was killed.
	removeTries = 20
	removePause = 250 * time.Millisecond
	// straggle is how long the engine may take for what it was asked last.
	straggle = time.Second
)

// removeInhabited removes the network, and with it the cluster's nodes that come after all: who makes a cluster may have been killed,
// and what it had started goes on. Once the network is gone none can start any more.
func removeInhabited(ctx context.Context, name, label, dir string) error {
	var err error
	for range removeTries {
		if err = removeNetwork(ctx, name, label); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(removePause):
		}
		if err := removeCluster(name, dir); err != nil {
			return err
		}
	}
	return errors.Join(err, removeCluster(name, dir))
}

// removeNetwork removes the network if it bears the lab's label.
func removeNetwork(ctx context.Context, name, label string) error {
	n, err := inspectNetwork(ctx, name)
	if err != nil || n == nil {
		return err
	}
	if n.Labels[labLabel] != label {
		return fmt.Errorf("network %s is not this lab's", name)
	}
	if _, err := docker(ctx, "network", "rm", name); err != nil {
		return errors.Join(fmt.Errorf("remove network %s", name), err)
	}
	return nil
}
