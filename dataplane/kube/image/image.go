// Package image makes the container image of dsrlab: static programs and nothing else, as an archive for `docker load` and
// `kind load image-archive`. It needs no engine and no registry, and the same programs make the same archive.
package image

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// DefaultTag is the image's name where nothing else is said, as manifests have it.
const DefaultTag = "dsrlab.dev/dsrlab:latest"

// Programs are the image's, in the folder of their container and here in that of the one that makes the image. The first one is run
// where a container names none.
var programs = [...]string{"dsrlab", "dsrd", "labpod"} //nolint:gochecknoglobals // a constant, if Go had such

// folders are what programs expect of a machine.
var folders = [...]string{"tmp", "run", "var", "var/lib", "sys", "proc", "dev"} //nolint:gochecknoglobals // likewise

// Write writes an archive with one image of the programs in folder, for the architecture that they were built for. Compressing them takes
// seconds; when ctx ends, it ends with the cause.
func Write(ctx context.Context, to io.Writer, tag, folder string) error {
	reference, err := name.NewTag(tag)
	if err != nil {
		return fmt.Errorf("write image: tag %q: %w", tag, err)
	}
	files, err := layer(folder)
	if err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	content, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(untilEnd{ctx, bytes.NewReader(files)}), nil })
	if err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	image, err := mutate.AppendLayers(empty.Image, content)
	if err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	image, err = mutate.ConfigFile(image, configure(image, architecture(folder)))
	if err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	if err := tarball.Write(reference, image, to); err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	return nil
}

// untilEnd is a reader that fails when ctx has ended.
type untilEnd struct {
	ctx  context.Context
	from io.Reader
}

func (r untilEnd) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.from.Read(p)
}

// configure is the image's configuration with entry point and platform.
func configure(image v1.Image, architecture string) *v1.ConfigFile {
	config, err := image.ConfigFile()
	if err != nil {
		config = &v1.ConfigFile{}
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", architecture
	config.Config.Entrypoint = []string{"/" + programs[0]}
	config.Config.Env = []string{"PATH=/"}
	return config
}

// architecture is what the programs in folder were built for, as Go and containers name it; this machine's, if that can't be said.
func architecture(folder string) string {
	program, err := elf.Open(filepath.Join(folder, programs[0]))
	if err != nil {
		return runtime.GOARCH
	}
	defer program.Close()
	switch program.Machine {
	case elf.EM_X86_64:
		return "amd64"
	case elf.EM_AARCH64:
		return "arm64"
	}
	return runtime.GOARCH
}

// layer is a tar archive of the image's files. Their times are all the same, so that it depends on nothing but them.
func layer(folder string) ([]byte, error) {
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	for _, f := range folders {
		if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: f + "/", Mode: 0o755}); err != nil {
			return nil, err
		}
	}
	for _, program := range programs {
		content, err := os.ReadFile(filepath.Join(folder, program))
		if err != nil {
			return nil, fmt.Errorf("program %s: %w (make image makes it)", program, err)
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: program, Mode: 0o755, Size: int64(len(content))}
		if err := archive.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := archive.Write(content); err != nil {
			return nil, err
		}
	}
	err := archive.Close()
	return buffer.Bytes(), err
}
