package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"image/color"
	"io"

	"github.com/dsrlab/dsrlab/results"
)

//go:embed html.tmpl
var htmlTemplate string

//go:embed html.css
var htmlStyle string

// chartView is a chart as it stands in the page.
type chartView struct {
	Title, Caption string
	SVG            template.HTML
}

// HTML writes the report of a run as one file that needs nothing else: style and pictures are in it, and no script. It
// follows the reader's light or dark theme.
func HTML(w io.Writer, run *results.Run) error {
	v, err := newView(run)
	if err != nil {
		return err
	}
	for _, chart := range Charts(run) {
		svg, err := chart.inline()
		if err != nil {
			return err
		}
		// Made by this package alone; all text in it was escaped when it was drawn.
		v.Charts = append(v.Charts, chartView{chart.Title, chart.Caption, template.HTML(svg)})
	}
	style := template.CSS(htmlStyle + themeStyle())
	t, err := template.New("html").Funcs(template.FuncMap{"style": func() template.CSS { return style }}).Parse(htmlTemplate)
	if err != nil {
		return fmt.Errorf("parse html template: %w", err)
	}
	if err := t.Execute(w, v); err != nil {
		return fmt.Errorf("write html report of %s: %w", run.Manifest.Run, err)
	}
	return nil
}

// themeStyle gives the custom properties that the page and its charts use: light, and dark where the reader prefers it or
// a data-theme attribute on the root says so.
func themeStyle() string {
	declare := func(theme Theme) (css string) {
		p := theme.palette()
		for _, named := range []struct {
			name  string
			value color.RGBA
		}{{"ink", p.ink}, {"muted", p.muted}, {"grid", p.grid}, {"paper", p.background}} {
			css += fmt.Sprintf("--%s:%s;", named.name, hex(named.value))
		}
		for i, c := range p.variants {
			css += fmt.Sprintf("--v%d:%s;", i, hex(c))
		}
		return css + "color-scheme:" + string(theme) + ";"
	}
	return "\n:root{" + declare(Light) + "}\n" +
		"@media (prefers-color-scheme: dark){:root:not([data-theme=light]){" + declare(Dark) + "}}\n" +
		":root[data-theme=dark]{" + declare(Dark) + "}\n"
}
