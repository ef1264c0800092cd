package netns

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// entry is a line of the journal. It is written before what it names is made.
type entry struct {
	Kind string `json:"kind"` // begin, folder, namespace, mount, process, adopted, owned, complete
	// begin
	Lab    string `json:"lab,omitempty"`
	ID     string `json:"id,omitempty"`
	BootID string `json:"bootID,omitempty"`
	// folder, mount: path; namespace, process: name; adopted: external namespace; owned: see Resource
	Name string `json:"name,omitempty"`
	// owned
	What  string `json:"what,omitempty"`
	Value string `json:"value,omitempty"`
	// adopted
	Pins string `json:"pins,omitempty"`
	// process, adopted: itself; begin: who builds
	PID   int    `json:"pid,omitempty"`
	Start uint64 `json:"start,omitempty"` // clock ticks since boot
}

const (
	journalFile = "journal.jsonl"
	// ownerFile holds the journal's first entry once more: by it the folder is known for a network's when the journal is lost.
	ownerFile = "owner.json"
)

// journal is a network's record of ownership.
type journal struct {
	mu   sync.Mutex
	path string
}

func journalOf(labDir string) *journal { return &journal{path: filepath.Join(labDir, journalFile)} }

func (j *journal) add(e entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	file, err := os.OpenFile(j.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	defer file.Close()
	if _, err := file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// exists reports whether a network was ever begun here.
func (j *journal) exists() bool { return exists(j.path) }

// read returns all entries that can be read. damage says why there may have been others; it is empty if there were none. A last line that
// was cut short is no damage: it was not followed by what it names.
func (j *journal) read() (entries []entry, damage string) {
	data, err := readFile(j.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, "it has no journal"
	}
	if err != nil {
		return nil, fmt.Sprintf("its journal can't be read: %v", err)
	}
	whole, cut := data, []byte(nil)
	if end := bytes.LastIndexByte(data, '\n'); end < len(data)-1 {
		whole, cut = data[:end+1], data[end+1:]
	}
	number := 0
	for line := range bytes.Lines(whole) {
		number++
		var e entry
		if json.Unmarshal(line, &e) == nil && e.Kind != "" {
			entries = append(entries, e)
		} else if damage == "" {
			damage = fmt.Sprintf("its journal is damaged: line %d is no entry", number)
		}
	}
	var last entry
	if json.Unmarshal(cut, &last) == nil && last.Kind != "" {
		entries = append(entries, last)
	}
	if len(entries) == 0 || entries[0].Kind != "begin" || entries[0].ID == "" {
		damage = "its journal is damaged: it has no beginning"
	}
	return entries, damage
}

// maxFile is the size of the largest file that is read from a state folder. The plan of a thousand nodes has some megabytes.
const maxFile = 64 << 20

// readFile reads a file of a state folder. It doesn't wait for a FIFO, nor read what has no end.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, reasonOf(err)
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no regular file")
	case info.Size() > maxFile:
		return nil, fmt.Errorf("it has %d MB (want %d at most)", info.Size()>>20, maxFile>>20)
	}
	data, err := os.ReadFile(path)
	return data, reasonOf(err)
}

// reasonOf is the error without operation and path.
func reasonOf(err error) error {
	var failed *os.PathError
	if errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

func newID() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
