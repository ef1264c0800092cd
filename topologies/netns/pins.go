package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/internal/words"
	"github.com/dsrlab/dsrlab/topologies/shape"
)

// goneTimeout is for BPF programs to go. A filter of Linux 6.1 lets go of its program after a grace period, on a queue that needs the RTNL
// lock (tcf_queue_work in net/sched/cls_api.c), which the end of a dozen namespaces holds for long on a slow machine.
const goneTimeout = 2 * time.Minute

// pinnedPrograms are the ids of all programs that the pins on the network's bpffs hold, directly or by a link.
func pinnedPrograms(mounts []string) ([]ebpf.ProgramID, error) {
	var ids []ebpf.ProgramID
	for _, mount := range mounts {
		if !isBPF(mount) {
			continue
		}
		err := filepath.WalkDir(mount, func(path string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			if id, ok := pinnedProgram(path); ok {
				ids = append(ids, id)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read pins: %w", err)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// pinnedProgram is the program that a pin holds; a map's holds none.
func pinnedProgram(path string) (ebpf.ProgramID, bool) {
	if l, err := link.LoadPinnedLink(path, nil); err == nil {
		defer l.Close()
		info, err := l.Info()
		if err != nil {
			return 0, false
		}
		return info.Program, true
	}
	p, err := ebpf.LoadPinnedProgram(path, nil)
	if err != nil {
		return 0, false
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return 0, false
	}
	return info.ID()
}

// policersOf are the ids of all programs that police wires in a namespace.
func policersOf(namespace string) ([]ebpf.ProgramID, error) {
	conn, err := dialAt(filepath.Join(namespaceDir, namespace))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return shape.Programs(conn)
}

// isBPF reports whether a bpffs is mounted on path itself.
func isBPF(path string) bool {
	var fs unix.Statfs_t
	return isMounted(path) && unix.Statfs(path, &fs) == nil && fs.Type == unix.BPF_FS_MAGIC
}

// removePins removes every pin before it unmounts the bpffs: someone may have a copy of the mount, as all have who made a mount
// namespace meanwhile, and what is pinned there would live on. The kernel's own two files (maps.debug and progs.debug,
// kernel/bpf/preload) can't be removed; they go with the last copy.
func removePins(mount string) error {
	if !isBPF(mount) {
		return nil
	}
	entries, err := os.ReadDir(mount)
	if err != nil {
		return fmt.Errorf("read pins: %w", err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(mount, e.Name())); err != nil && !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("remove pin: %w", err)
		}
	}
	if err := unix.Unmount(mount, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", mount, err)
	}
	return nil
}

// waitGone waits until the kernel has freed the programs, which it does some time after the last pin is gone.
func waitGone(ctx context.Context, programs []ebpf.ProgramID) error {
	left := programs
	gone := waitUntil(ctx, goneTimeout, func() bool {
		left = slices.DeleteFunc(left, func(id ebpf.ProgramID) bool {
			p, err := ebpf.NewProgramFromID(id)
			if err == nil {
				p.Close()
			}
			return errors.Is(err, os.ErrNotExist)
		})
		return len(left) == 0
	})
	if !gone {
		return errors.Join(fmt.Errorf("BPF programs are still loaded: %s", words.List(named(left))), context.Cause(ctx))
	}
	return nil
}

// named are the programs' IDs and names.
func named(ids []ebpf.ProgramID) []string {
	var all []string
	for _, id := range ids {
		text := fmt.Sprint(id)
		if p, err := ebpf.NewProgramFromID(id); err == nil {
			if info, err := p.Info(); err == nil {
				text = fmt.Sprintf("%d (%s, %s)", id, info.Name, info.Type)
			}
			p.Close()
		}
		all = append(all, text)
	}
	return all
}
