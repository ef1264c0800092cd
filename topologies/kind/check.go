package kind

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	Do  func(ctx context.Context) error
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
		{checkDocker, "install Docker (Debian: apt-get install docker.io), start it, and be root or of the group docker", func(ctx context.Context) error {
			_, err := docker(ctx, "version", "--format", "{{.Server.Version}}")
			return err
		}},
		{checkImage, "docker pull " + image + ", or name another by --image", func(ctx context.Context) error {
			_, err := docker(ctx, "image", "inspect", "--format", "{{.Id}}", image)
			return err
		}},
		{"inotify instances", "sysctl fs.inotify.max_user_instances=512", func(context.Context) error {
			return atLeast("fs/inotify/max_user_instances", (nodes+1)*instancesOfNode)
		}},
		{"inotify watches", "sysctl fs.inotify.max_user_watches=524288", func(context.Context) error {
			return atLeast("fs/inotify/max_user_watches", (nodes+1)*watchesOfNode)
		}},
		{"cgroup version", "boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1), or name a node image of Kubernetes 1.34 or earlier by --image",
			func(ctx context.Context) error { return checkCgroup(ctx, image) }},
	}
}

// Ready is nil where a cluster can be made, or says all that is missing.
func Ready(ctx context.Context, image string, nodes int) error {
	var errs []error
	for _, c := range Checks(image, nodes) {
		err := c.Do(ctx)
		if err == nil {
			continue
		}
		errs = append(errs, &netns.MissingError{Feature: c.Name + " for a kind cluster", How: c.How, Err: err})
		if c.Name == checkDocker { // who is not there answers nothing else
			break
		}
	}
	return errors.Join(errs...)
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

// checkCgroup: kubelet of Kubernetes 1.35 and later refuses cgroup v1.
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
	if kubernetes.AtLeast(version.MustParseSemantic("v1.35.0")) {
		return fmt.Errorf("the machine has cgroup v1, and kubelet of Kubernetes %s refuses it", text)
	}
	return nil
}
