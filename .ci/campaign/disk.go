package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// diskFull runs a lab whose folder for runs is on a file system without room, while the testbed serves.
func diskFull(ctx context.Context, c *chaos, t *traffic) (bound int, err error) {
	t.open(ctx, openers)
	disk := filepath.Join(c.options.dir, "disk")
	if err := os.MkdirAll(disk, 0o700); err != nil {
		return 0, err
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=16k"); err != nil {
		return 0, fmt.Errorf("mount a small disk: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Unmount(disk, unix.MNT_DETACH), os.RemoveAll(disk)) }()
	state := c.options.state("disk")
	var story bytes.Buffer
	cmd := exec.CommandContext(ctx, c.options.program, "lab", "run", "06-dsr-packet-walk", "--runs", disk, "--state-dir", state)
	cmd.Stdout, cmd.Stderr = &story, &story
	if err := cmd.Run(); err == nil {
		return 0, errors.New("a lab that could not write its record said that it passed")
	}
	if !bytes.Contains(story.Bytes(), []byte("no space left on device")) {
		return 0, fmt.Errorf("a lab that could not write its record does not say so: %s", lastLine(story.String()))
	}
	if left, err := leftIn(state); err != nil || len(left) > 0 {
		return 0, errors.Join(err, fmt.Errorf("a lab that could not write its record left testbeds: %q", left))
	}
	return 0, nil
}

// leftIn lists what is in a state folder.
func leftIn(state string) ([]string, error) {
	entries, err := os.ReadDir(state)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}
