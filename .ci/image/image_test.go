// Package image tests the container image with a Docker engine, which needs no other image.
package image

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The fewest flags that work: capabilities for networks and for bpf(2), mount(2) and setns(2); and a /proc/sys that can be written.
var flags = []string{"--rm", "--network", "none", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_ADMIN", "--security-opt", "systempaths=unconfined"}

const tag = "dsrlab.dev/dsrlab:test"

func docker(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "docker", args...).CombinedOutput()
	require.NoError(t, err, "docker %v: %s", args, out)
	return string(out)
}

// TestImage: the archive is loaded, the lab of the source address runs in it, and the image goes again.
func TestImage(t *testing.T) {
	if out, err := exec.Command("docker", "version").CombinedOutput(); err != nil {
		t.Skipf("needs a Docker engine: %v: %s", err, out)
	}
	archive := t.TempDir() + "/image.tar"
	out, err := exec.Command("../../bin/dsrlab", "image", "--tag", tag, "-o", archive).CombinedOutput()
	require.NoError(t, err, "make build first: %s", out)
	docker(t, "load", "-i", archive)
	t.Cleanup(func() { _ = exec.Command("docker", "rmi", "-f", tag).Run() })
	run := func(args ...string) string {
		return docker(t, append(append([]string{"run"}, flags...), append([]string{tag}, args...)...)...)
	}
	assert.Contains(t, run("doctor"), "01-source-ip can run")
	lab := run("lab", "run", "01-source-ip")
	for _, claim := range []string{"SNAT-1", "SNAT-2", "DSR-1", "DSR-3"} {
		assert.Regexp(t, claim+` +reproduced`, lab)
	}
}
