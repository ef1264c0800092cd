package labs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2"

	"github.com/dsrlab/dsrlab/internal/bounded"
)

// Progress holds the exercises that a participant has solved, by lab.
type Progress struct {
	Solved map[string][]string `json:"solved"`
}

// ReadProgress reads a progress file; a missing one is no progress.
func ReadProgress(file string) (*Progress, error) {
	p := &Progress{Solved: make(map[string][]string)}
	data, err := bounded.ReadFile(file, bounded.Document)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read progress: %w", err)
	}
	if err := json.Unmarshal(data, p); err != nil {
		return nil, fmt.Errorf("read progress: %s: %w", file, err)
	}
	if p.Solved == nil {
		p.Solved = make(map[string][]string)
	}
	return p, nil
}

// Has reports whether an exercise is solved.
func (p *Progress) Has(lab, exercise string) bool { return slices.Contains(p.Solved[lab], exercise) }

// Add marks an exercise as solved.
func (p *Progress) Add(lab, exercise string) {
	if !p.Has(lab, exercise) {
		p.Solved[lab] = append(p.Solved[lab], exercise)
	}
}

// Write writes the progress to a file atomically.
func (p *Progress) Write(file string) error {
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("write progress: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("write progress: %w", err)
	}
	if err := renameio.WriteFile(file, append(data, '\n'), 0o644, renameio.WithTempDir(filepath.Dir(file))); err != nil {
		return fmt.Errorf("write progress: %w", err)
	}
	return nil
}
