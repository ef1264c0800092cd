package manifest

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// MaxSize is the size in bytes of the largest document that is read. A topology of 1,000 nodes takes about 100 kB.
const MaxSize = 16 << 20

// ReadFile reads a document. What is no file but can be read, such as a pipe or a device, is read up to MaxSize; a named pipe without
// a writer is empty.
func ReadFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Read(path, f)
}

// Read reads a document to its end. Name is what errors call it.
func Read(name string, r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%s: found more than %d MiB (want a YAML file)", name, MaxSize>>20)
	}
	return data, nil
}
