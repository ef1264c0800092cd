package kind

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/dsrlab/dsrlab/topologies/netns"
)

// Check is something that a kind cluster needs of the machine.
type Check struct {
	Name string
	// How to get it.
	How string
	// Needs are the names of checks without which this one can't be made.
	Needs []string
	Do    func(ctx context.Context) error
}

// What a node takes of inotify: measured on a cluster of four (13 instances and 182 watches; the control plane 26 and 222), rounded
// up. The control plane counts twice.
const (
	instancesOfNode = 16
	watchesOfNode   = 512
)

const (
	checkDocker = "Docker"
	checkImage  = "node image"
)

// Checks are all that a cluster of so many nodes of an image needs. Later ones build on earlier ones.
func Checks(image string, nodes int) []Check {
	if image == "" {
		image = DefaultImage
	}
	return []Check{
		{checkDocker, "install Docker (Debian: apt-get install docker.io), start it, and be root or of the group docker", nil, func(ctx context.Context) error {
			_, err := docker(ctx, "version", "--format", "{{.Server.Version}}")
			return err
		}},
		{checkImage, "docker pull " + image + ", or name another by --image", []string{checkDocker}, func(ctx context.Context) error {
			_, err := docker(ctx, "image", "inspect", "--format", "{{.Id}}", image)
			return err
		}},
		{"privileged containers", "let the engine run containers with --privileged: as root, not inside a container that lacks privileges itself",
			[]string{checkDocker, checkImage}, func(ctx context.Context) error { return checkPrivileged(ctx, image) }},
		{"inotify instances", "sysctl fs.inotify.max_user_instances=512", []string{checkDocker}, func(context.Context) error {
			return atLeast("fs/inotify/max_user_instances", (nodes+1)*instancesOfNode)
		}},
		{"inotify watches", "sysctl fs.inotify.max_user_watches=524288", []string{checkDocker}, func(context.Context) error {
			return atLeast("fs/inotify/max_user_watches", (nodes+1)*watchesOfNode)
		}},
		{"cgroup version", "boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1), or name a node image of Kubernetes 1.37 or earlier by --image",
			[]string{checkDocker}, func(ctx context.Context) error { return checkCgroup(ctx, image) }},
	}
}

// Ready is nil where a cluster can be made, or says all that is missing.
func Ready(ctx context.Context, image string, nodes int) error {
	var errs []error
	failed := make(map[string]bool)
	for _, c := range Checks(image, nodes) {
		if slices.ContainsFunc(c.Needs, func(name string) bool { return failed[name] }) {
			continue
		}
		if err := c.Do(ctx); err != nil {
			errs = append(errs, &netns.MissingError{Feature: c.Name + " for a kind cluster", How: c.How, Err: err})
			failed[c.Name] = true
		}
	}
	return errors.Join(errs...)
}

// checkPrivileged runs a container, and a command in it, as kind does with a node (kind's pkg/cluster/internal/providers/docker).
func checkPrivileged(ctx context.Context, image string) (err error) {
	container, err := docker(ctx, "run", "--detach", "--privileged", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
		"--cgroupns", "private", "--tmpfs", "/tmp", "--tmpfs", "/run", "--network", "none", "--pull", "never", "--label", labLabel+"=doctor",
		"--entrypoint", "sleep", image, "60")
	if container != "" {
		defer func() {
			_, removeErr := docker(context.WithoutCancel(ctx), "rm", "--force", "--volumes", container)
			err = errors.Join(err, removeErr)
		}()
	}
	if err != nil {
		return fmt.Errorf("with --privileged: %w", err)
	}
	if _, err = docker(ctx, "exec", "--privileged", container, "true"); err != nil {
		return fmt.Errorf("with --privileged: %w", err)
	}
	return nil
}

func atLeast(sysctl string, want int) error {
	text, err := os.ReadFile(filepath.Join(sysctlDir, sysctl))
	if err != nil {
		return err
	}
	have, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err == nil && have < want {
		err = fmt.Errorf("%s is %d, and this many nodes take up to %d", strings.ReplaceAll(sysctl, "/", "."), have, want)
	}
	return err
}

// checkCgroup refuses cgroup v1 for a kubelet that may have no support for it any more: up to Kubernetes 1.37 it has (KEP-5573).
func checkCgroup(ctx context.Context, image string) error {
	cgroup, err := docker(ctx, "info", "--format", "{{.CgroupVersion}}")
	if err != nil || cgroup != "1" {
		return err
	}
	if _, err := docker(ctx, "image", "inspect", "--format", "{{.Id}}", image); err != nil {
		return fmt.Errorf("the machine has cgroup v1, and without a node image nobody knows whether its kubelet takes that: %w", err)
	}
	text, err := docker(ctx, "run", "--rm", "--pull", "never", "--network", "none", "--entrypoint", "cat", image, "/kind/version")
	if err != nil {
		return err
	}
	kubernetes, err := version.ParseSemantic(text)
	if err != nil {
		return fmt.Errorf("node image %s: version %q: %w", image, text, err)
	}
	if kubernetes.AtLeast(version.MustParseSemantic("v1.38.0")) {
		return fmt.Errorf("the machine has cgroup v1, and kubelet of Kubernetes %s may not support it", text)
	}
	return nil
}
