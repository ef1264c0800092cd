package results

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Store finds runs in a folder of runs, and among the reference runs.
type Store struct {
	// Dir is the folder of runs; it may be missing.
	Dir string
	// Reference holds recorded runs, one folder each; nil for none. Those of the program are Reference().
	Reference fs.FS
}

// Entry is a run that a Store holds, or a folder that should be one.
type Entry struct {
	// Name of the folder.
	Name string
	// Reference is set if it is a reference run.
	Reference bool
	// Run is nil where Err says why it cannot be read.
	Run *Run
	Err error
}

// List reads the runs of Dir and then the reference runs, each newest first.
func (s Store) List() ([]Entry, error) {
	var entries []Entry
	if s.Dir != "" {
		own, err := list(os.DirFS(s.Dir), s.Dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("list runs in %s: %w", s.Dir, err)
		}
		entries = own
	}
	if s.Reference == nil {
		return entries, nil
	}
	reference, err := list(s.Reference, "reference")
	if err != nil {
		return nil, fmt.Errorf("list reference runs: %w", err)
	}
	for i := range reference {
		reference[i].Reference = true
	}
	return append(entries, reference...), nil
}

func list(files fs.FS, location string) ([]Entry, error) {
	found, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, folder := range found {
		if !folder.IsDir() {
			continue
		}
		if _, err := fs.Stat(files, folder.Name()+"/manifest.json"); errors.Is(err, fs.ErrNotExist) {
			continue // something else
		}
		entry := Entry{Name: folder.Name()}
		sub, err := fs.Sub(files, folder.Name())
		if err == nil {
			entry.Run, err = Read(sub, filepath.Join(location, folder.Name()))
		}
		entry.Err = err
		entries = append(entries, entry)
	}
	slices.SortStableFunc(entries, func(a, b Entry) int {
		if a.Run == nil || b.Run == nil {
			return strings.Compare(b.Name, a.Name)
		}
		return b.Run.Manifest.Started.Compare(a.Run.Manifest.Started)
	})
	return entries, nil
}

// Find reads the run that a user means: the path of a run folder, the id of a run or the beginning of one, the name of a
// lab (its latest run) or the beginning of one, as in 06, or "latest". The runs of Dir come before the reference runs; of those on other substrates a lab's name
// means none where there is one on network namespaces, on which every lab runs and of which captures are kept. A lab's name and "latest"
// mean a run that came to its end, where there is one.
func (s Store) Find(name string) (*Run, error) {
	if _, err := os.Stat(filepath.Join(name, "manifest.json")); err == nil {
		return Open(name)
	}
	entries, err := s.List()
	if err != nil {
		return nil, err
	}
	var begins []Entry
	for _, entry := range entries {
		if entry.Name == name {
			return entry.Run, entry.Err
		}
		if strings.HasPrefix(entry.Name, name) {
			begins = append(begins, entry)
		}
	}
	if name == "latest" && len(entries) > 0 {
		latest := entries[max(0, slices.IndexFunc(entries, Entry.finished))]
		return latest.Run, latest.Err
	}
	if run := latestOf(name, entries); run != nil {
		return run, nil
	}
	// A reference run may lie in the folder of runs, too: that is one run.
	begins = slices.CompactFunc(begins, func(a, b Entry) bool { return a.Name == b.Name })
	switch len(begins) {
	case 1:
		return begins[0].Run, begins[0].Err
	case 0:
		return s.findByLab(name, entries)
	}
	names := make([]string, len(begins))
	for i, entry := range begins {
		names[i] = entry.Name
	}
	return nil, fmt.Errorf("find run %q: %d runs begin like this: %s", name, len(begins), strings.Join(names, ", "))
}

// findByLab reads the latest run of the one lab whose name begins with begin.
func (s Store) findByLab(begin string, entries []Entry) (*Run, error) {
	matches := map[string]bool{}
	for _, entry := range entries {
		if entry.Run != nil && begin != "" && strings.HasPrefix(entry.Run.Manifest.Lab, begin) {
			matches[entry.Run.Manifest.Lab] = true
		}
	}
	names := slices.Sorted(maps.Keys(matches))
	switch len(names) {
	case 1:
		return latestOf(names[0], entries), nil
	case 0:
		return nil, fmt.Errorf("find run %q: none in %s has this id, and no lab of this name was run; dsrlab results list shows the runs", begin, s.Dir)
	}
	return nil, fmt.Errorf("find run %q: the names of %d labs begin like this: %s", begin, len(names), strings.Join(names, ", "))
}

// latestOf is the run that a lab's name means; nil if it has none. Entries must be in the order of List.
func latestOf(lab string, entries []Entry) *Run {
	var elsewhere, unfinished *Run
	for _, entry := range entries {
		if entry.Run == nil || entry.Run.Manifest.Lab != lab {
			continue
		}
		switch {
		case !entry.finished():
			unfinished = cmp.Or(unfinished, entry.Run)
		case !entry.Reference || entry.Run.Manifest.On() == namespaces:
			return entry.Run
		default:
			elsewhere = cmp.Or(elsewhere, entry.Run)
		}
	}
	return cmp.Or(elsewhere, unfinished)
}

// finished reports whether the run came to its end.
func (e Entry) finished() bool { return e.Run != nil && e.Run.State() == Finished }

// FindOn reads the latest finished run of a lab on a substrate, of those that were not broken on purpose. The runs of Dir come
// before the reference runs.
func (s Store) FindOn(lab, substrate string) (*Run, error) {
	entries, err := s.List()
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if entry.counts() && entry.Run.Manifest.Lab == lab && entry.Run.Manifest.On() == substrate {
			return entry.Run, nil
		}
	}
	return nil, fmt.Errorf("find run of %s on %s: none in %s came to its end; make one with: dsrlab lab run %s --substrate %s",
		lab, substrate, s.Dir, lab, substrate)
}

// Latest lists the latest run of each lab that came to its end and was not broken on purpose, in the order of the labs' names. As in
// Find, the runs of Dir come before the reference runs, and of these those on network namespaces before others.
func (s Store) Latest() ([]Entry, error) {
	entries, err := s.List()
	if err != nil {
		return nil, err
	}
	latest := map[string]Entry{}
	for _, entry := range entries {
		if !entry.counts() {
			continue
		}
		lab, elsewhere := entry.Run.Manifest.Lab, entry.Run.Manifest.On() != namespaces
		before, have := latest[lab]
		if !have || entry.Reference && before.Reference && before.Run.Manifest.On() != namespaces && !elsewhere {
			latest[lab] = entry
		}
	}
	var all []Entry
	for _, lab := range slices.Sorted(maps.Keys(latest)) {
		all = append(all, latest[lab])
	}
	return all, nil
}

// counts reports whether verdicts may rest on the run: it came to its end, and nothing was broken on purpose.
func (e Entry) counts() bool {
	return e.finished() && len(e.Run.Manifest.Faults) == 0
}

// ClaimStatus is a claim and what the latest runs say about it.
type ClaimStatus struct {
	ID      string `json:"id"`
	Slide   string `json:"slide"`
	Lab     string `json:"lab"`
	Variant string `json:"variant"`
	// Verdict is one of Verdict.Words.
	Verdict string `json:"verdict"`
	// Run is the id of the run that the verdict comes from; empty when no run checks the claim.
	Run string `json:"run"`
	// Headlines are the verdict's figures in a few words each.
	Headlines []string `json:"headlines,omitempty"`
	// Evidence of the run, and whether it is a reference run.
	Evidence  string `json:"-"`
	Reference bool   `json:"-"`
	Text      string `json:"-"`
}

// latestVerdict is a verdict and the run that it comes from.
type latestVerdict struct {
	ClaimVerdict
	run       string
	reference bool
}

// ClaimStatuses gives each claim the verdict of the latest runs that check it: of each lab the latest finished one on each
// substrate, and of several the verdict that says most (differs, reproduced, not measured). Reference runs count for
// claims that no run of Dir checks; runs that were broken on purpose never do. Entries must be in the order of List.
func ClaimStatuses(claims Claims, entries []Entry) []ClaimStatus {
	type key struct {
		lab, substrate, claim string
		reference             bool
	}
	latest := map[key]bool{}
	found := map[string]latestVerdict{}
	for _, entry := range entries {
		if !entry.counts() {
			continue
		}
		for _, verdict := range Verdicts(entry.Run).Claims {
			k := key{entry.Run.Manifest.Lab, entry.Run.Manifest.On(), verdict.ID, entry.Reference}
			before, have := found[verdict.ID]
			if latest[k] || have && entry.Reference && !before.reference {
				continue
			}
			latest[k] = true
			if !have || tells(verdict.Verdict) > tells(before.Verdict) {
				found[verdict.ID] = latestVerdict{verdict, entry.Run.Manifest.Run, entry.Reference}
			}
		}
	}
	statuses := make([]ClaimStatus, 0, len(claims))
	for _, claim := range claims {
		latest, have := found[claim.ID]
		if !have {
			latest.Verdict = NotMeasured
		}
		statuses = append(statuses, ClaimStatus{
			ID: claim.ID, Slide: claim.Slide(), Lab: claim.Lab, Variant: claim.Variant, Verdict: latest.Verdict.Words(),
			Run: latest.run, Headlines: latest.Headlines, Evidence: latest.Evidence, Reference: latest.reference, Text: claim.Text,
		})
	}
	return statuses
}

// MergeClaims gives each claim that some runs check one verdict: of several the one that says most, as ClaimStatuses does, and of
// those that say the same the one of the lab that the claim names. They come in the order of claims.
func MergeClaims(claims Claims, summaries []Summary) []ClaimVerdict {
	var merged []ClaimVerdict
	for _, claim := range claims {
		var best *ClaimVerdict
		own := false // best is of the lab that the claim names
		for _, s := range summaries {
			for i := range s.Claims {
				v := &s.Claims[i]
				if v.ID != claim.ID {
					continue
				}
				same := best != nil && v.Verdict == best.Verdict
				if best == nil || tells(v.Verdict) > tells(best.Verdict) || same && !own && s.Lab == claim.Lab {
					best, own = v, s.Lab == claim.Lab
				}
			}
		}
		if best != nil {
			merged = append(merged, *best)
		}
	}
	return merged
}

// tells ranks verdicts by how much they say.
func tells(v Verdict) int {
	return slices.Index([]Verdict{NotMeasured, Reproduced, Differs}, v)
}
