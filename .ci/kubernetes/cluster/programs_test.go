package cluster

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/require"
)

// dsrlabImage is what manifests call the image, and pauseImage what containerd makes a pod's sandbox of.
const (
	dsrlabImage = "dsrlab.dev/dsrlab:latest"
	pauseImage  = "dsrlab.dev/pause:latest"
)

// plugins of CNI are what kind's own pod network needs.
var plugins = []string{"main/ptp", "main/loopback", "ipam/host-local", "meta/portmap"}

// programs are files that all nodes share.
type programs struct{ folder, k8s, dsrlab, labpod string }

// build builds the programs of Kubernetes, of dsrlab and of CNI, and the images.
func build(t *testing.T) programs {
	t.Helper()
	p := programs{folder: t.TempDir()}
	bin := t.TempDir()
	p.k8s, p.dsrlab, p.labpod = filepath.Join(bin, "k8s"), filepath.Join(bin, "dsrlab"), filepath.Join(bin, "labpod")
	version := run(t, "..", "go", "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")
	run(t, "..", "go", "build", "-ldflags", "-X k8s.io/component-base/version.gitVersion="+version, "-o", p.k8s, "./k8s")
	run(t, "..", "go", "build", "-o", filepath.Join(bin, "pause"), "./pause")
	run(t, "../../..", "go", "build", "-o", bin, "./cmd/...") // with the product's dependencies
	for _, plugin := range plugins {
		run(t, "../../..", "go", "build", "-o", filepath.Join(p.folder, "cni", filepath.Base(plugin)), "github.com/containernetworking/plugins/plugins/"+plugin)
	}
	run(t, ".", p.dsrlab, "image", "--tag", dsrlabImage, "--write", filepath.Join(p.folder, "dsrlab.tar"))
	writePause(t, filepath.Join(bin, "pause"), filepath.Join(p.folder, "pause.tar"))
	return p
}

// writePause writes the archive of an image of one program.
func writePause(t *testing.T, program, archive string) {
	t.Helper()
	data, err := os.ReadFile(program)
	require.NoError(t, err)
	var layer bytes.Buffer
	files := tar.NewWriter(&layer)
	require.NoError(t, files.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "pause", Mode: 0o755, Size: int64(len(data))}))
	_, err = files.Write(data)
	require.NoError(t, errors.Join(err, files.Close()))
	content, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	require.NoError(t, err)
	image, err := mutate.AppendLayers(empty.Image, content)
	require.NoError(t, err)
	file, err := image.ConfigFile()
	require.NoError(t, err)
	file.Config.Entrypoint = []string{"/pause"}
	file.OS, file.Architecture = "linux", run(t, ".", "go", "env", "GOARCH")
	image, err = mutate.ConfigFile(image, file)
	require.NoError(t, err)
	require.NoError(t, crane.Save(image, pauseImage, archive))
}

// run returns what a program prints.
func run(t *testing.T, folder, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = folder, append(os.Environ(), "CGO_ENABLED=0")
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	require.NoError(t, err, "%s %v: %s%s", name, args, out, &complaints)
	return strings.TrimSpace(string(out))
}
