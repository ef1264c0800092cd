// Package bounded reads files up to a limit, so that a wrong path, such as that of a device that never ends, of a named pipe or of an
// image of a disk, costs an error message and neither the machine's memory nor the user's time.
package bounded

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Limits in bytes of what is read.
const (
	// Document is a topology, a lab, a configuration, a manifest. A topology of 1,000 nodes takes about 100 kB.
	Document = 1 << 20
	// Records is a list that a program wrote: samples of a run, objects of a cluster. A run of half an hour takes about 100 kB.
	Records = 16 << 20
)

// ReadFile reads a file. What is no regular file but can be read, as a pipe or a device, is read up to the limit. A named pipe that
// nobody writes to is an error, as is a file that is larger than the limit, of which nothing is read.
func ReadFile(path string, limit int64) ([]byte, error) {
	// Without O_NONBLOCK opening a named pipe waits for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() && info.Size() > limit {
		return nil, tooLarge(path, fmt.Sprintf("%d MiB", info.Size()>>20), limit)
	}
	data, err := Read(path, f, limit)
	if err == nil && len(data) == 0 && info.Mode()&fs.ModeNamedPipe != 0 {
		return nil, fmt.Errorf("%s: found a pipe that nobody writes to (want a file)", path)
	}
	return data, err
}

// Read reads to the end. Name is what errors call it.
func Read(name string, r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, tooLarge(name, "more", limit)
	}
	return data, nil
}

// ReadFS reads a regular file of a file system. Anything else is an error: it may never end.
func ReadFS(files fs.FS, name string, limit int64) ([]byte, error) {
	info, err := fs.Stat(files, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: found %s (want a regular file)", name, kind(info.Mode()))
	}
	if info.Size() > limit {
		return nil, tooLarge(name, fmt.Sprintf("%d MiB", info.Size()>>20), limit)
	}
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Read(name, f, limit)
}

func tooLarge(name, found string, limit int64) error {
	return fmt.Errorf("%s: too large: found %s (want at most %d MiB)", name, found, limit>>20)
}

// kind names a kind of file.
func kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
}

// CheckValues bounds the values that a YAML or JSON document can hold: a parser takes a few hundred bytes for each, so that a megabyte
// of commas becomes a gigabyte. It counts what stands between values, also within text, and so never too few.
func CheckValues(name string, document []byte, limit int) error {
	values := 1
	for _, between := range []string{",", "\n", ":", "[", "{", "*"} {
		values += bytes.Count(document, []byte(between))
	}
	if values > limit {
		return fmt.Errorf("%s: too large: found about %d values (want at most %d)", name, values, limit)
	}
	return nil
}
