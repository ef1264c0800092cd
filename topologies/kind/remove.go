package kind

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/dsrlab/dsrlab/topologies/netns"
)

// What a lab owns outside of its namespaces.
const (
	ownedCluster = "cluster" // by kind's name
	ownedNetwork = "network" // of the engine; Value is its label
	ownedGuard   = "guard"   // nftables table
	ownedSetting = "setting" // sysctl that kubelet sets; Value is that of before
	// ownedInitSetting is a sysctl that the nodes' init may set, likewise.
	ownedInitSetting = "init-setting"
	// ownedInitValue is what the nodes' init has made of it.
	ownedInitValue = "init-value"
)

// Remove takes the cluster away, then its network, then what guarded it, and restores what kubelet and the nodes' init changed of the machine. What bears
// the same name and is not the lab's is left alone.
func (m *Provider) Remove(ctx context.Context, dir string, owned []netns.Resource, earlierBoot bool) error {
	order := []string{ownedCluster, ownedNetwork, ownedGuard, ownedSetting, ownedInitSetting}
	owned = slices.Clone(owned)
	slices.SortStableFunc(owned, func(a, b netns.Resource) int { return slices.Index(order, a.Kind) - slices.Index(order, b.Kind) })
	made := make(map[string]string)
	for _, o := range owned {
		if o.Kind == ownedInitValue {
			made[o.Name] = o.Value
		}
	}
	var errs []error
	for _, o := range owned {
		switch {
		case o.Kind == ownedCluster:
			errs = append(errs, removeCluster(ctx, o.Name, dir))
		case o.Kind == ownedNetwork:
			errs = append(errs, removeWithContainers(ctx, o.Name, o.Value, dir))
		case earlierBoot: // the kernel that the others changed is gone
		case o.Kind == ownedGuard && errors.Join(errs...) == nil: // it stays as long as what it guards
			errs = append(errs, removeGuard(o.Name))
		case o.Kind == ownedSetting:
			errs = append(errs, restoreSetting(o.Name, o.Value))
		case o.Kind == ownedInitSetting:
			errs = append(errs, restoreInitSetting(sysctlDir, o.Name, o.Value, made[o.Name]))
		}
	}
	return errors.Join(errs...)
}

// Find returns what a network has whose record is lost: the cluster by its mounts, and the network by its label. Where that is gone so is
// the name of what guarded it, and settings have their values of before in the record only.
func (m *Provider) Find(ctx context.Context, network, dir string, ids []string) ([]netns.Resource, error) {
	if _, err := exec.LookPath("docker"); err != nil {
		return nil, nil
	}
	name := clusterName(network)
	mine, err := ownsNodes(ctx, name, dir)
	if err != nil {
		return nil, err
	}
	var found []netns.Resource
	if mine {
		found = append(found, netns.Resource{Kind: ownedCluster, Name: name})
	}
	n, err := inspectNetwork(ctx, name)
	if err != nil || n == nil {
		return found, err
	}
	if id := n.Labels[labLabel]; mine || slices.Contains(ids, id) {
		found = append(found, netns.Resource{Kind: ownedNetwork, Name: name, Value: id}, netns.Resource{Kind: ownedGuard, Name: n.Options[bridgeOption]})
	}
	return found, nil
}

// removeCluster removes the nodes of a cluster, if they are the lab's. It is no error if there are none.
func removeCluster(ctx context.Context, name, dir string) error {
	mine, err := ownsNodes(ctx, name, dir)
	if err != nil || !mine {
		return err
	}
	// kind leaves its lock behind when it is killed, and then waits for nobody. The lab's own lock is held.
	if err := os.Remove(kubeconfigPath(dir) + ".lock"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Remove(kubeconfigPath(dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := provider(nil).Delete(name, kubeconfigPath(dir)); err != nil {
		return fmt.Errorf("remove cluster %s: %w", name, err)
	}
	return nil
}

// ownsNodes reports whether a cluster of this name has nodes, and they are the lab's: in them is mounted what the lab's folder holds.
func ownsNodes(ctx context.Context, name, dir string) (bool, error) {
	ids, err := docker(ctx, "ps", "--all", "--quiet", "--filter", "label=io.x-k8s.kind.cluster="+name)
	if err != nil || ids == "" {
		return false, err
	}
	for id := range strings.FieldsSeq(ids) {
		mounts, err := docker(ctx, "inspect", "--format", `{{range .Mounts}}{{.Source}}{{"\n"}}{{end}}`, id)
		if err != nil {
			return false, err
		}
		if !slices.Contains(strings.Fields(mounts), refusePath(dir)) {
			return false, nil
		}
	}
	return true, nil
}

const (
	// removeTries is how often containers may still turn up that someone was making who was killed.
	removeTries = 20
	removePause = 250 * time.Millisecond
)

// removeWithContainers removes the network, and with it the cluster's nodes that come after all: who makes a cluster may have been killed,
// and what it had started goes on. Once the network is gone none can start any more.
func removeWithContainers(ctx context.Context, name, label, dir string) error {
	n, err := inspectNetwork(ctx, name)
	if err != nil || n != nil && n.Labels[labLabel] != label {
		return err // one of the name is another lab's
	}
	for range removeTries {
		if err = removeNetwork(ctx, name); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(removePause):
		}
		if err := removeCluster(ctx, name, dir); err != nil {
			return err
		}
	}
	return errors.Join(err, removeCluster(ctx, name, dir))
}

// removeNetwork is no error if there is none.
func removeNetwork(ctx context.Context, name string) error {
	n, err := inspectNetwork(ctx, name)
	if err != nil || n == nil {
		return err
	}
	_, err = docker(ctx, "network", "rm", name)
	return err
}
