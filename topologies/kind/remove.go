package kind

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
			err = removeCluster(o.Name, dir)
		case o.What == ownedNetwork:
			err = removeNetwork(ctx, o.Name, o.Value)
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
