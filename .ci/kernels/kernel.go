package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
)

// metaPackage depends on the newest kernel of a suite, in the flavour for virtual machines: the same sources and network
// stack as linux-image-amd64, at a quarter of the size.
const metaPackage = "linux-image-cloud-amd64"

// choice is a kernel that can be asked for: the newest of some suites.
type choice struct {
	name   string
	suites []suite
}

func choices() []choice {
	const main, security = "debian", "debian-security"
	return []choice{
		{"bookworm", []suite{{main, "bookworm"}, {security, "bookworm-security"}}}, // 6.1
		{"trixie", []suite{{main, "trixie"}, {security, "trixie-security"}}},       // 6.12
		{"newest", []suite{{main, "trixie-backports"}, {main, "sid"}, {main, "experimental"}}},
	}
}

// kernel is an unpacked kernel.
type kernel struct {
	version string // of the Debian package
	suite   string
	image   string
	modules moduleFolder
}

// fetchKernel finds, downloads and unpacks (into folder) a kernel.
func fetchKernel(ctx context.Context, m mirror, c choice, folder string) (kernel, error) {
	var all []debPackage
	for _, s := range c.suites {
		found, err := m.packages(ctx, s)
		if err != nil {
			return kernel{}, err
		}
		all = append(all, found...)
	}
	meta, err := newest(all, metaPackage)
	if err != nil {
		return kernel{}, err
	}
	parts, err := closure(all, meta)
	if err != nil {
		return kernel{}, err
	}
	for _, part := range parts {
		file, err := m.deb(ctx, part)
		if err != nil {
			return kernel{}, err
		}
		if out, err := exec.CommandContext(ctx, "dpkg-deb", "--extract", file, folder).CombinedOutput(); err != nil {
			return kernel{}, fmt.Errorf("unpack %s: %w: %s", file, err, out)
		}
	}
	k := kernel{version: meta.Version, suite: meta.Suite.name}
	if k.image, err = findImage(folder); err != nil {
		return kernel{}, err
	}
	k.modules, err = readModuleFolder(folder)
	return k, err
}

// findImage finds the kernel's image, which moved between Debian's releases.
func findImage(root string) (string, error) {
	for _, pattern := range []string{"boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return "", err
		}
		if len(files) == 1 {
			return files[0], nil
		}
	}
	return "", errors.New("the packages hold no kernel image")
}
