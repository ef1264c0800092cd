package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/dsrlab/dsrlab/.ci/kernels/guest"
)

// writeInitramfs writes the archive that the kernel unpacks into its root file system: init, its plan, modules, tests with their
// testdata, and the programs of the demo.
func writeInitramfs(file string, b binaries, modules moduleFolder, arguments []string) error {
	cache := map[string][]byte{}
	order, err := loadOrder(neededModules(), modules, func(name string) (_ []string, err error) {
		if cache[name], err = modules.read(name); err != nil {
			return nil, err
		}
		return dependencies(cache[name])
	})
	if err != nil {
		return err
	}
	plan := guest.Plan{Arguments: arguments}
	records := []cpio.Record{cpio.CharDev("/dev/console", 0o600, 5, 1)}
	for _, name := range order {
		plan.Modules = append(plan.Modules, "/modules/"+name+".ko")
		records = append(records, cpio.StaticFile("/modules/"+name+".ko", string(cache[name]), 0o600))
	}
	more, err := diskFile("/init", b.init)
	records = append(records, more)
	for _, p := range b.tests {
		test := guest.Test{Package: p.name, Folder: path.Join("/source", p.name), Binary: path.Join("/tests", p.name) + ".test"}
		plan.Tests = append(plan.Tests, test)
		binary, binaryErr := diskFile(test.Binary, p.binary)
		data, dataErr := testdata(p.folder, test.Folder)
		err = errors.Join(err, binaryErr, dataErr)
		records = append(append(records, binary), data...)
	}
	for _, program := range b.demo {
		record, programErr := diskFile(path.Join(demoFolder, filepath.Base(program)), program)
		records, err = append(records, record), errors.Join(err, programErr)
	}
	if len(b.demo) > 0 {
		plan.Demo = demoPlan()
	}
	text, jsonErr := json.Marshal(plan)
	if err := errors.Join(err, jsonErr); err != nil {
		return err
	}
	return writeArchive(file, append(records, cpio.StaticFile(guest.PlanFile, string(text), 0o600)))
}

func writeArchive(file string, records []cpio.Record) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(f)
	w := cpio.NewDedupWriter(cpio.Newc.Writer(out))
	if err = cpio.WriteRecordsAndDirs(w, records); err == nil {
		err = cpio.WriteTrailer(w)
	}
	if err := errors.Join(err, out.Flush(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

// diskFile is a program of the host's, under its name in the machine.
func diskFile(name, file string) (cpio.Record, error) {
	text, err := os.ReadFile(file)
	return cpio.StaticFile(name, string(text), 0o755), err
}

// testdata are the files that tests of the package in folder may read.
func testdata(folder, target string) ([]cpio.Record, error) {
	var records []cpio.Record
	root := os.DirFS(folder)
	err := fs.WalkDir(root, "testdata", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(root, name)
		records = append(records, cpio.StaticFile(path.Join(target, name), string(text), 0o644))
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return records, err
}
