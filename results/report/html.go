package report

import (
	"embed"
	"fmt"
	"html/template"
	"image/color"
	"io"

	"github.com/dsrlab/dsrlab/results"
)

//go:embed html.tmpl all.tmpl story.tmpl
var pages embed.FS

//go:embed html.css
var htmlStyle string

// HTML writes the report of a run as one file that needs nothing else: style and pictures are in it, and no script. It
// follows the reader's light or dark theme. It tells the story first: the question, the answer, and the picture that proves it.
func HTML(w io.Writer, run *results.Run, story Story) error {
	v, err := newView(run, story, drawn)
	if err != nil {
		return err
	}
	if err := writePage(w, "html.tmpl", v); err != nil {
		return fmt.Errorf("write html report of %s: %w", run.Manifest.Run, err)
	}
	return nil
}

// writePage writes one of the pages.
func writePage(w io.Writer, name string, data any) error {
	style := template.CSS(htmlStyle + themeStyle())
	t, err := template.New(name).Funcs(template.FuncMap{"style": func() template.CSS { return style }, "anchor": anchor}).ParseFS(pages, name, "story.tmpl")
	if err != nil {
		return fmt.Errorf("parse html template: %w", err)
	}
	return t.Execute(w, data)
}

// themeStyle gives the custom properties that the page and its charts use: light, and dark where the reader prefers it or
// a data-theme attribute on the root says so. Paper is light.
func themeStyle() string {
	light, dark := Light.declare()+Light.declareWays(), Dark.declare()+Dark.declareWays()
	return "\n:root{" + light + "}\n" +
		"@media screen and (prefers-color-scheme: dark){:root:not([data-theme=light]){" + dark + "}}\n" +
		"@media screen{:root[data-theme=dark]{" + dark + "}}\n"
}

// declareWays gives the custom properties of the theme that walks add.
func (t Theme) declareWays() string {
	p := t.palette()
	return fmt.Sprintf("--request:%s;--reply:%s;", hex(p.request), hex(p.reply))
}

// declare gives the custom properties of a theme.
func (t Theme) declare() (css string) {
	p := t.palette()
	for _, named := range []struct {
		name  string
		value color.RGBA
	}{{"ink", p.ink}, {"muted", p.muted}, {"grid", p.grid}, {"paper", p.background}} {
		css += fmt.Sprintf("--%s:%s;", named.name, hex(named.value))
	}
	for i, c := range p.variants {
		css += fmt.Sprintf("--v%d:%s;", i, hex(c))
	}
	return css + "color-scheme:" + string(t) + ";"
}
