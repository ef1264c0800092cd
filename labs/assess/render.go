package assess

import (
	"embed"
	"fmt"
	htmltemplate "html/template"
	"io"
	"strings"
	"text/template"
)

//go:embed markdown.tmpl html.tmpl
var pages embed.FS

//go:embed html.css
var style string

// Markdown writes the report as a Markdown document.
func Markdown(w io.Writer, r *Report) error {
	t, err := template.New("markdown.tmpl").Funcs(functions()).ParseFS(pages, "markdown.tmpl")
	if err != nil {
		return fmt.Errorf("parse markdown template: %w", err)
	}
	return t.Execute(w, r)
}

// HTML writes the report as one file that needs nothing else, and has no script. It follows the reader's light or dark theme.
func HTML(w io.Writer, r *Report) error {
	f := functions()
	f["style"] = func() htmltemplate.CSS { return htmltemplate.CSS(style) }
	t, err := htmltemplate.New("html.tmpl").Funcs(f).ParseFS(pages, "html.tmpl")
	if err != nil {
		return fmt.Errorf("parse html template: %w", err)
	}
	return t.Execute(w, r)
}

func functions() template.FuncMap {
	return template.FuncMap{
		"inc":   func(i int) int { return i + 1 },
		"join":  func(all []string) string { return strings.Join(all, "; ") },
		"cell":  cell,
		"class": func(v Verdict) string { return strings.NewReplacer(" ", "-", "'", "").Replace(string(v)) },
	}
}

// cell makes a text stand in a cell of a Markdown table as it is, whatever a name holds.
func cell(text string) string {
	return strings.NewReplacer("\\", "\\\\", "|", "\\|", "\n", " ", "\r", " ", "<", "&lt;", "`", "\\`", "*", "\\*", "_", "\\_").Replace(text)
}
