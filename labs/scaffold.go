package labs

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/dsrlab/dsrlab/topologies/manifest"
)

//go:embed scaffold
var scaffold embed.FS

// labName matches a number of two digits, a dash, and a folder name.
var labName = regexp.MustCompile(`^[0-9]{2}-[a-z0-9]+(-[a-z0-9]+)*$`)

// Scaffold creates a folder for a lab, with a lab.yaml that runs unchanged and a README, and returns its path. An existing
// folder is left untouched. Program is what the commands in it begin with.
func Scaffold(dir, name, program string) (folder string, err error) {
	if !labName.MatchString(name) {
		return "", fmt.Errorf("name: found %q (want two digits, a dash and a name, as in 15-my-lab)", name)
	}
	folder = filepath.Join(dir, name)
	if err := os.Mkdir(folder, 0o755); err != nil {
		return "", fmt.Errorf("make lab: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(folder))
		}
	}()
	parsed, err := template.New("").ParseFS(scaffold, "scaffold/*")
	if err != nil {
		return "", fmt.Errorf("make lab: %w", err)
	}
	number, _, _ := strings.Cut(name, "-")
	data := map[string]string{"Name": name, "Number": number, "Folder": asPath(folder), "Program": program}
	for _, file := range []string{"lab.yaml", "README.md"} {
		if err := write(parsed, file, filepath.Join(folder, file), data); err != nil {
			return "", fmt.Errorf("make lab: %w", err)
		}
	}
	return asPath(folder), nil
}

// asPath is a path that can't be taken for the name of a lab.
func asPath(folder string) string {
	if strings.ContainsRune(folder, filepath.Separator) {
		return folder
	}
	return "." + string(filepath.Separator) + folder
}

func write(parsed *template.Template, from, to string, data any) (err error) {
	file, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return parsed.ExecuteTemplate(file, from+".tmpl", data)
}

// Find returns a lab: one of the catalogue by its name, or a lab.yaml or the folder that it is in by its path. A path without a slash
// is one if no lab of the catalogue has this name.
func Find(nameOrPath string) (*Lab, error) {
	info, err := os.Stat(nameOrPath)
	if !strings.ContainsRune(nameOrPath, filepath.Separator) || errors.Is(err, fs.ErrNotExist) {
		lab, lookupErr := Lookup(nameOrPath)
		if !errors.Is(lookupErr, errUnknownLab) || err != nil {
			return lab, lookupErr
		}
	}
	if err != nil {
		return nil, fmt.Errorf("find lab: %w", err)
	}
	if info.IsDir() {
		nameOrPath = filepath.Join(nameOrPath, "lab.yaml")
	}
	data, err := manifest.ReadFile(nameOrPath)
	if err != nil {
		return nil, fmt.Errorf("find lab: %w", err)
	}
	return Parse(nameOrPath, data)
}
