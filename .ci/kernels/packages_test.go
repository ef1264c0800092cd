package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const index = `Package: libc6
Version: 2.41-12
Filename: pool/main/g/glibc/libc6_2.41-12_amd64.deb

Package: linux-image-cloud-amd64
Source: linux-signed-amd64 (7.3~rc7+1)
Version: 7.3~rc7-1
Depends: linux-image-7.3-cloud-amd64 (= 7.3~rc7-1)
Filename: pool/main/l/linux-image-cloud-amd64_7.3~rc7-1_amd64.deb
SHA256: aa

Package: linux-image-cloud-amd64
Version: 7.3.4-1
Depends: linux-base-cloud-amd64 (= 7.3.4-1), linux-image-7.3.4-cloud-amd64 (= 7.3.4-1)
Description: Linux for x86-64 cloud
 Version: 9 is not a version, but a line of the description
Filename: pool/main/l/linux-image-cloud-amd64_7.3.4-1_amd64.deb
SHA256: bb

Package: linux-base-cloud-amd64
Version: 7.3.4-1
Filename: base.deb
SHA256: cc

Package: linux-image-7.3.4-cloud-amd64
Version: 7.3.4-1
Depends: kmod, dracut | initramfs-tools (>= 0.120+deb8u2), linux-base (>= 4.3~), linux-base-cloud-amd64 (= 7.3.4-1), linux-modules-7.3.4-cloud-amd64 (= 7.3.4-1)
Filename: image.deb
SHA256: dd

Package: linux-modules-7.3.4-cloud-amd64
Version: 7.3.4-1
Filename: modules.deb
SHA256: ee`

func TestPackages(t *testing.T) {
	all, err := parsePackages(strings.NewReader(index), suite{name: "sid"}, "linux-")
	require.NoError(t, err)
	require.Len(t, all, 5, "libc6 is left out")
	meta, err := newest(all, "linux-image-cloud-amd64")
	require.NoError(t, err)
	assert.Equal(t, debPackage{
		Suite: suite{name: "sid"}, Name: "linux-image-cloud-amd64", Version: "7.3.4-1",
		Depends:  "linux-base-cloud-amd64 (= 7.3.4-1), linux-image-7.3.4-cloud-amd64 (= 7.3.4-1)",
		Filename: "pool/main/l/linux-image-cloud-amd64_7.3.4-1_amd64.deb", SHA256: "bb",
	}, meta)

	kernel, err := closure(all, meta)
	require.NoError(t, err)
	var files []string
	for _, p := range kernel {
		files = append(files, p.Filename)
	}
	assert.Equal(t, []string{"pool/main/l/linux-image-cloud-amd64_7.3.4-1_amd64.deb", "base.deb", "image.deb", "modules.deb"}, files)

	_, err = closure(all, all[0])
	assert.EqualError(t, err, "linux-image-cloud-amd64 depends on linux-image-7.3-cloud-amd64 7.3~rc7-1, which sid lacks")
	_, err = newest(all, "linux-image-amd64")
	assert.EqualError(t, err, "no package linux-image-amd64")
	other := append([]debPackage{{Suite: suite{name: "x"}, Name: "linux-y", Version: "no version"}}, all...)
	_, err = newest(other, "linux-y")
	assert.ErrorContains(t, err, "parse version of linux-y in x")
}
