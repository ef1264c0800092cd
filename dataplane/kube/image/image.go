// Package image makes the container image of dsrlab: static programs and nothing else, as an archive for `docker load` and
// `kind load image-archive`. It needs no engine and no registry, and the same programs make the same archive.
package image

import (
	"archive/tar"
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
	content, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		layer, to := io.Pipe() // closed by whoever reads it, or at its end
		go func() { to.CloseWithError(writeLayer(ctx, to, folder)) }()
		return layer, nil
	})
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

// writeLayer writes a tar archive of the image's files. Their times are all the same, so that it depends on nothing but them.
func writeLayer(ctx context.Context, to io.Writer, folder string) error {
	archive := tar.NewWriter(to)
	for _, f := range folders {
		if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: f + "/", Mode: 0o755}); err != nil {
			return err
		}
	}
	for _, program := range programs {
		if err := add(ctx, archive, folder, program); err != nil {
			return fmt.Errorf("program %s: %w", program, err)
		}
	}
	return archive.Close()
}

func add(ctx context.Context, archive *tar.Writer, folder, program string) error {
	file, err := os.Open(filepath.Join(folder, program))
	if err != nil {
		return fmt.Errorf("%w (make image makes it)", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: program, Mode: 0o755, Size: info.Size()}); err != nil {
		return err
	}
	_, err = io.Copy(archive, untilEnd{ctx, file})
	return err
}
