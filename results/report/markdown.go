package report

import (
	_ "embed"
	"fmt"
	"io"
	"strings"
	"text/template"

	"github.com/dsrlab/dsrlab/results"
)

//go:embed markdown.tmpl
var markdownTemplate string

// Markdown writes the report of a run for reading in a terminal or a repository.
func Markdown(w io.Writer, run *results.Run) error {
	v, err := newView(run)
	if err != nil {
		return err
	}
	t, err := template.New("markdown").Funcs(template.FuncMap{"cell": cell, "code": code}).Parse(markdownTemplate)
	if err != nil {
		return fmt.Errorf("parse markdown template: %w", err)
	}
	if err := t.Execute(w, v); err != nil {
		return fmt.Errorf("write markdown report of %s: %w", run.Manifest.Run, err)
	}
	return nil
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
