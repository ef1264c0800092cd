package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const debianSuite = "bookworm"

// runFresh does what the README says first, where nothing is but Debian's smallest system, make and Go: without a network, in namespaces
// of their own for mounts, processes and links, so that nothing can be left behind.
func runFresh(ctx context.Context, o *options, r *report) error {
	if _, err := exec.LookPath("debootstrap"); err != nil {
		return errors.New("debootstrap is missing: apt-get install debootstrap")
	}
	root := filepath.Join(o.dir, "debian")
	o.say("fresh: %s from %s", debianSuite, o.mirror)
	// In a mount namespace of its own: what it mounts ends with it, however it ends.
	if err := o.command(ctx, io.Discard, "unshare", "--mount", "debootstrap", "--variant=minbase", "--include=make", debianSuite, root, o.mirror); err != nil {
		return err
	}
	if err := o.copySource(ctx, root); err != nil {
		return err
	}
	for _, line := range []string{
		"make demo-dsr",
		"make lab-up && bin/dsrlab exec client -- /src/bin/labpod --help && make lab-down",
	} {
		o.say("fresh: %s", line)
		began := time.Now()
		var story bytes.Buffer
		err := o.inside(ctx, root, line, io.MultiWriter(&story, o.progress))
		one := outcome{
			Case: "`" + strings.Split(line, " && ")[0] + "` in a bare Debian " + debianSuite + " with make and Go, without a network", Tried: 1, Unit: "commands",
			Seen: fmt.Sprintf("%.0f s", time.Since(began).Seconds()), Why: "nothing else is needed",
		}
		if err != nil {
			one.Failed = 1
			one.Seen = lastLine(story.String())
		}
		r.add(one)
	}
	return nil
}

// copySource puts what is committed, the modules that it needs, and Go into the folder.
func (o *options) copySource(ctx context.Context, root string) error {
	var gopath bytes.Buffer
	if err := o.command(ctx, &gopath, "go", "env", "GOROOT", "GOMODCACHE"); err != nil {
		return err
	}
	if err := o.command(ctx, io.Discard, "go", "mod", "download"); err != nil {
		return err
	}
	paths := strings.Fields(gopath.String())
	source, modules := filepath.Join(root, "src"), filepath.Join(root, "modules")
	for _, dir := range []string{source, modules, filepath.Join(root, "usr/local/go")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return o.command(ctx, io.Discard, "sh", "-ec", `
		git archive HEAD | tar -x -C "$1"
		cp -a "$2/." "$3/usr/local/go"
		cp -a "$4/cache/download/." "$5"`, "sh", source, paths[0], root, paths[1], modules)
}

// inside runs a command line in the folder as the root of everything.
func (o *options) inside(ctx context.Context, root, line string, out io.Writer) error {
	return o.command(ctx, out, "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-ec", `
		mount -t proc proc "$1/proc"
		mount -t sysfs sysfs "$1/sys"
		mount --rbind /dev "$1/dev"
		exec chroot "$1" env -i HOME=/root TERM=dumb PATH=/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin \
			GOPROXY=file:///modules GONOSUMDB='*' GOFLAGS=-modcacherw sh -ec "cd /src; $2"`, "sh", root, line)
}

// command runs a program; its error has the last line of what it said.
func (o *options) command(ctx context.Context, out io.Writer, name string, args ...string) error {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = io.MultiWriter(out, &said), io.MultiWriter(out, &said)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, lastLine(said.String()))
	}
	return nil
}
