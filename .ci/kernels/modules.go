package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ulikunitz/xz"
)

// neededModules are those that the lab's code, its tests and its measurements need of a kernel, where they are not built in.
// There is no modprobe in the machine that would load what else the kernel asks for.
func neededModules() []string {
	return []string{
		"veth", "bridge", "dummy", "ifb", "geneve", // links
		"sch_ingress", "cls_bpf", // programs, where there is no TCX
		"sch_tbf", "sch_netem", "cls_u32", "act_mirred", // shaping
		// what DSR is compared with
		"nf_conntrack_netlink", "nft_chain_nat", "nft_ct", "nft_fib_inet", "nft_masq", "nft_nat", "nft_numgen", "nft_reject_ipv4", "nft_reject_ipv6",
		"inet_diag", "tcp_diag", "tcp_bbr", "xfrm_user", // sockets; netlink opens xfrm's, too
	}
}

// moduleFolder is a kernel's /lib/modules/RELEASE. Modules are named as lsmod does: with underscores.
type moduleFolder struct {
	files   map[string]string // by name
	builtin map[string]bool
}

func moduleName(file string) string {
	name, _, _ := strings.Cut(filepath.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// readModuleFolder finds the modules of an unpacked kernel.
func readModuleFolder(root string) (moduleFolder, error) {
	m := moduleFolder{files: map[string]string{}, builtin: map[string]bool{}}
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.Name() == "modules.builtin":
			text, err := os.ReadFile(file)
			for line := range strings.FieldsSeq(string(text)) {
				m.builtin[moduleName(line)] = true
			}
			return err
		case strings.HasSuffix(file, ".ko"), strings.HasSuffix(file, ".ko.xz"):
			m.files[moduleName(file)] = file
		}
		return nil
	})
	if err == nil && len(m.files) == 0 {
		err = fmt.Errorf("no modules below %s", root)
	}
	return m, err
}

// read is the content of a module, unpacked.
func (m moduleFolder) read(name string) ([]byte, error) {
	file := m.files[name]
	text, err := os.ReadFile(file)
	if err != nil || !strings.HasSuffix(file, ".xz") {
		return text, err
	}
	r, err := xz.NewReader(bytes.NewReader(text))
	if err == nil {
		text, err = io.ReadAll(r)
	}
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", file, err)
	}
	return text, nil
}

// dependencies are the modules that a module says it needs, in the section where the kernel's build leaves that.
func dependencies(module []byte) ([]string, error) {
	file, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil, err
	}
	section := file.Section(".modinfo")
	if section == nil {
		return nil, errors.New("no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for field := range bytes.SplitSeq(info, []byte{0}) {
		if names, ok := bytes.CutPrefix(field, []byte("depends=")); ok {
			return strings.FieldsFunc(strings.ReplaceAll(string(names), "-", "_"), func(r rune) bool { return r == ',' }), nil
		}
	}
	return nil, nil
}

// loadOrder is the given modules and all that they depend on, each after what it needs, without those that are built in.
// All modules that exist nowhere are named at once.
func loadOrder(wanted []string, m moduleFolder, depends func(name string) ([]string, error)) ([]string, error) {
	var order []string
	var missing []error
	seen := map[string]bool{}
	var visit func(name, user string) error
	visit = func(name, user string) error {
		if seen[name] || m.builtin[name] {
			return nil
		}
		seen[name] = true
		if m.files[name] == "" {
			missing = append(missing, fmt.Errorf("no module %s, which %s needs", name, user))
			return nil
		}
		needs, err := depends(name)
		if err != nil {
			return fmt.Errorf("read module %s: %w", name, err)
		}
		for _, other := range needs {
			if err := visit(other, name); err != nil {
				return err
			}
		}
		order = append(order, name)
		return nil
	}
	for _, name := range wanted {
		if err := visit(name, "the lab"); err != nil {
			return nil, err
		}
	}
	return order, errors.Join(missing...)
}
