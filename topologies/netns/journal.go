package netns

import (
	"bufio"
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

// journal is a network's record of ownership.
type journal struct {
	mu   sync.Mutex
	path string
}

func journalOf(labDir string) *journal { return &journal{path: filepath.Join(labDir, "journal.jsonl")} }

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
func (j *journal) exists() bool {
	_, err := os.Lstat(j.path)
	return err == nil
}

// read returns all whole entries; a last line that was cut short was not followed by what it names.
func (j *journal) read() ([]entry, error) {
	data, err := os.ReadFile(j.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	var entries []entry
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		var e entry
		if json.Unmarshal(lines.Bytes(), &e) == nil {
			entries = append(entries, e)
		}
	}
	return entries, lines.Err()
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
