package usage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Message is the text of an error for people: what the system says about files is put in plain words, so that
// "open a.yaml: no such file or directory" becomes "a.yaml: there is no such file or folder".
func Message(err error) string {
	text := err.Error()
	for _, found := range fileErrors(err) {
		text = strings.ReplaceAll(text, found.Error(), inWords(found))
	}
	return text
}

// fileErrors are all errors about files in the tree of err, the outermost ones first.
func fileErrors(err error) []error {
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself, to find all of them
	case nil:
		return nil
	case *fs.PathError, *os.LinkError:
		return []error{e}
	case interface{ Unwrap() error }:
		return fileErrors(e.Unwrap())
	case interface{ Unwrap() []error }:
		var all []error
		for _, one := range e.Unwrap() {
			all = append(all, fileErrors(one)...)
		}
		return all
	}
	return nil
}

// inWords says of a file what happened to it.
func inWords(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		if path.Op == "mkdir" && errors.Is(path.Err, fs.ErrNotExist) {
			return path.Path + ": there is no folder " + filepath.Dir(path.Path) + " to make it in"
		}
		return path.Path + ": " + reason(path.Err)
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		return link.Old + ": can't become " + link.New + ": " + reason(link.Err)
	}
	return err.Error()
}

// reason words what the system's own text calls by its names.
func reason(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such file or folder"
	case errors.Is(err, fs.ErrExist):
		return "it is there already"
	case errors.Is(err, syscall.EISDIR):
		return "it is a folder (want a file)"
	case errors.Is(err, syscall.ENOTDIR):
		return "a part of this path is a file (want a folder)"
	case errors.Is(err, syscall.ELOOP):
		return "its symbolic links lead round in a circle"
	}
	return err.Error()
}
