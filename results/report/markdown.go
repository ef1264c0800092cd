package report

import (
	"embed"
	"fmt"
	"io"
	"strings"
	"text/template"

	"github.com/dsrlab/dsrlab/results"
)

//go:embed markdown.tmpl markdown_all.tmpl markdown_story.tmpl
var texts embed.FS

// Markdown writes the report of a run for reading in a terminal or a repository: the same as HTML, with tables for pictures.
func Markdown(w io.Writer, run *results.Run, story Story) error {
	v, err := newView(run, story, tabled)
	if err != nil {
		return err
	}
	v.More = nil // the measurements have all of it
	if err := writeText(w, "markdown.tmpl", v); err != nil {
		return fmt.Errorf("write markdown report of %s: %w", run.Manifest.Run, err)
	}
	return nil
}

// writeText writes one of the texts.
func writeText(w io.Writer, name string, data any) error {
	t, err := template.New(name).Funcs(template.FuncMap{"cell": cell, "code": code, "anchor": anchor}).ParseFS(texts, name, "markdown_story.tmpl")
	if err != nil {
		return fmt.Errorf("parse markdown template: %w", err)
	}
	return t.Execute(w, data)
}

// cell makes text safe to stand in a table: what people typed must neither end the cell nor become markup.
func cell(text any) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;", "&", "&amp;", "*", `\*`, "_", `\_`, "`", "\\`", "[", `\[`).Replace(fmt.Sprint(text))
}

// code puts text into a code span of a table.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + strings.NewReplacer("`", "'", "|", `\|`, "\n", " ").Replace(text) + "`"
}
