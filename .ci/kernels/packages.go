package main

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strings"

	version "github.com/knqyf263/go-deb-version"
)

// debPackage is a stanza of a suite's Packages index (https://wiki.debian.org/DebianRepository/Format), as far as needed here.
type debPackage struct {
	Suite    suite
	Name     string
	Version  string
	Depends  string
	Filename string // from the root of the archive
	SHA256   string // of the file, in hex
}

// parsePackages reads the packages of an index whose names begin with prefix.
func parsePackages(r io.Reader, from suite, prefix string) ([]debPackage, error) {
	var all []debPackage
	p := debPackage{Suite: from}
	keep := func() {
		if strings.HasPrefix(p.Name, prefix) {
			all = append(all, p)
		}
		p = debPackage{Suite: from}
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if line == "" {
			keep()
			continue
		}
		key, value, _ := strings.Cut(line, ": ")
		switch key {
		case "Package":
			p.Name = value
		case "Version":
			p.Version = value
		case "Depends":
			p.Depends = value
		case "Filename":
			p.Filename = value
		case "SHA256":
			p.SHA256 = value
		}
	}
	keep()
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read index of %s: %w", from, err)
	}
	return all, nil
}

// newest is the package of that name with the highest version, by Debian's rules: 7.3~rc7-1 comes before 7.3-1.
func newest(all []debPackage, name string) (debPackage, error) {
	var best debPackage
	var bestVersion version.Version
	for _, p := range all {
		if p.Name != name {
			continue
		}
		v, err := version.NewVersion(p.Version)
		if err != nil {
			return debPackage{}, fmt.Errorf("parse version of %s in %s: %w", name, p.Suite, err)
		}
		if best.Name == "" || v.GreaterThan(bestVersion) {
			best, bestVersion = p, v
		}
	}
	if best.Name == "" {
		return debPackage{}, fmt.Errorf("no package %s", name)
	}
	return best, nil
}

var exactDependency = regexp.MustCompile(`^([a-z0-9][a-z0-9+.-]+) \(= ([^)]+)\)$`)

// closure is a package and all that it depends on in exactly one version: the parts of a kernel depend on each other so,
// and on nothing else.
func closure(all []debPackage, root debPackage) ([]debPackage, error) {
	found := []debPackage{root}
	seen := map[string]bool{root.Name: true}
	for i := 0; i < len(found); i++ {
		for dependency := range strings.SplitSeq(found[i].Depends, ",") {
			m := exactDependency.FindStringSubmatch(strings.TrimSpace(dependency))
			if m == nil || seen[m[1]] {
				continue
			}
			seen[m[1]] = true
			p, ok := find(all, root.Suite, m[1], m[2])
			if !ok {
				return nil, fmt.Errorf("%s depends on %s %s, which %s lacks", found[i].Name, m[1], m[2], root.Suite)
			}
			found = append(found, p)
		}
	}
	return found, nil
}

func find(all []debPackage, from suite, name, version string) (debPackage, bool) {
	for _, p := range all {
		if p.Suite == from && p.Name == name && p.Version == version {
			return p, true
		}
	}
	return debPackage{}, false
}
