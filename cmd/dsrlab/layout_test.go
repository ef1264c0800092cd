package main

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// trackedFiles are those of the checkout that match a pattern of git, with slashes, from its root.
func trackedFiles(t *testing.T, pattern string) []string {
	t.Helper()
	out, err := exec.Command("git", "-C", filepath.Join("..", ".."), "ls-files", pattern).Output()
	if err != nil {
		t.Skipf("not in a git checkout: %v", err)
	}
	return strings.Fields(string(out))
}

// inBackquotes are the words that a text has in backquotes, apart from blocks of code.
func inBackquotes(text string) []string {
	text = regexp.MustCompile("(?s)```.*?```").ReplaceAllString(text, "")
	var words []string
	for _, match := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(text, -1) {
		words = append(words, match[1])
	}
	return words
}

// linkTargets are the relative links of a text.
func linkTargets(text string) []string {
	var targets []string
	for _, match := range regexp.MustCompile(`\]\(([^)\s#:]+)[^)\s]*\)`).FindAllStringSubmatch(text, -1) {
		targets = append(targets, match[1])
	}
	return targets
}

// blocks are a document's paragraphs, items of lists and rows of tables.
func blocks(text string) []string {
	return regexp.MustCompile(`\n(?:\n|\||- |\d+\. |\*\*)`).Split(text, -1)
}

// isPath reports whether a word in backquotes is meant as a file or folder of the repository.
func isPath(word string) bool {
	if !regexp.MustCompile(`^[\w.*/-]+$`).MatchString(word) || strings.HasPrefix(word, "/") {
		return false
	}
	made := strings.HasPrefix(word, "bin/") || strings.HasPrefix(word, "runs/") || strings.HasPrefix(word, "v1.")
	return !made && (strings.Contains(word, "/") || regexp.MustCompile(`\.(go|h|c|ya?ml|json|md|mod)$`).MatchString(word))
}

// TestDocumentsNameWhatExists looks up every path that the documents for contributors, and the README, name in backquotes: from the root,
// or from where a link beside it leads, or of a name without a folder anywhere. NAME in it stands for
// anything.
func TestDocumentsNameWhatExists(t *testing.T) {
	files := trackedFiles(t, "*")
	for _, document := range []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"} {
		data, err := os.ReadFile(filepath.Join("..", "..", document))
		require.NoError(t, err)
		paths := 0
		for _, block := range blocks(string(data)) {
			for _, word := range inBackquotes(block) {
				if isPath(word) {
					paths++
					assert.True(t, isNamed(files, linkTargets(block), word), "%s names %s, which is nowhere", document, word)
				}
			}
		}
		assert.NotZero(t, paths, document)
	}
}

// isNamed reports whether a word is the path, or with one of the links its end, of a file or of a folder with files.
func isNamed(files, links []string, word string) bool {
	word = strings.TrimSuffix(strings.ReplaceAll(word, "NAME", "*"), "/")
	patterns := []string{word}
	anywhere := !strings.Contains(word, "/")
	for _, link := range links {
		link = strings.TrimSuffix(link, "/")
		if link == word || strings.HasSuffix(link, "/"+word) {
			return true // TestDocumentLinks follows it
		}
		patterns = append(patterns, path.Join(link, word))
	}
	for _, file := range files {
		for ; file != "."; file = path.Dir(file) {
			if ok, err := path.Match(word, path.Base(file)); err == nil && ok && anywhere {
				return true
			}
			for _, pattern := range patterns {
				if ok, err := path.Match(pattern, file); err == nil && ok {
					return true
				}
			}
		}
	}
	return false
}

// TestArchitectureNamesFunctions: functions that ARCHITECTURE.md sends a newcomer to are in a file that it links to beside them.
func TestArchitectureNamesFunctions(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "ARCHITECTURE.md"))
	require.NoError(t, err)
	function := regexp.MustCompile(`^([a-z]+(_[a-z0-9]+)+|[A-Za-z]+\.[A-Za-z]+|Apply)$`)
	found := 0
	for _, block := range blocks(string(data)) {
		var linked strings.Builder
		for _, link := range linkTargets(block) {
			text, err := os.ReadFile(filepath.Join("..", "..", link))
			if err == nil {
				linked.Write(text)
			}
		}
		for _, word := range inBackquotes(block) {
			if !function.MatchString(word) || isPath(word) || strings.HasPrefix(word, "v1.") {
				continue
			}
			found++
			for _, part := range strings.Split(word, ".") {
				has := regexp.MustCompile(`\b` + part + `\b`).MatchString(linked.String())
				assert.True(t, has, "no file that is linked beside %s has it", word)
			}
		}
	}
	assert.Greater(t, found, 5)
}

// TestArchitectureNamesPackages: each package below the top folders is named, once for all packages inside it.
func TestArchitectureNamesPackages(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "ARCHITECTURE.md"))
	require.NoError(t, err)
	packages := make(map[string]bool)
	for _, file := range trackedFiles(t, "*.go") {
		if parts := strings.Split(file, "/"); len(parts) > 2 && !strings.HasPrefix(file, ".") {
			packages[path.Join(parts[0], parts[1])] = true
		}
	}
	require.NotEmpty(t, packages)
	for name := range packages {
		assert.True(t, strings.Contains(string(data), "("+name+")"), "%s is not in the table of packages", name)
	}
}
