package report

import (
	"html/template"
	"slices"

	"github.com/dsrlab/dsrlab/results/units"
)

// drawn is a chart as a picture in a page.
func drawn(c Chart) (pictureView, error) {
	svg, err := c.inline()
	if err != nil {
		return pictureView{}, err
	}
	// Made by this package alone; all text in it was escaped when it was drawn.
	return pictureView{Title: c.Title, Caption: c.Caption, Words: c.describe(), SVG: template.HTML(svg), Walk: c.walk != nil}, nil
}

// tabled is a chart as a table, for Markdown.
func tabled(c Chart) (pictureView, error) {
	v := pictureView{Title: c.Title, Walk: c.walk != nil}
	number := func(value float64) string { return units.Number(value / c.scale.Divisor) }
	switch {
	case c.walk != nil:
		v.Columns, v.Rows, v.Caption = walkColumns(), c.walk.rows(), c.Caption
	case len(c.bars) > 0:
		v.Columns = []string{"", "Median"}
		for _, b := range c.bars {
			v.Rows = append(v.Rows, []string{b.name, number(b.median)})
		}
	case len(c.spans) > 0:
		v.Columns = append([]string{""}, c.percentiles...)
		for _, s := range c.spans {
			row := []string{s.name}
			for _, value := range s.values {
				row = append(row, number(value))
			}
			v.Rows = append(v.Rows, row)
		}
	case len(c.curves) > 0:
		columns, value := c.ticksOf()
		v.Columns = append([]string{""}, columns...)
		for _, of := range append(slices.Clone(c.curves), c.curvesBelow()...) {
			row := []string{of.name}
			for i := range columns {
				row = append(row, value(of, i))
			}
			v.Rows = append(v.Rows, row)
		}
	default:
		v.Columns = []string{c.xTitle}
		for _, t := range c.xTicks {
			v.Columns = append(v.Columns, t.text)
		}
		for _, l := range c.lines {
			row := append([]string{l.name}, make([]string, len(c.xTicks))...)
			for _, p := range l.points {
				for i, t := range c.xTicks {
					if t.at == p.x {
						row[i+1] = number(p.median)
					}
				}
			}
			v.Rows = append(v.Rows, row)
		}
	}
	for _, m := range c.marks {
		v.Caption += capital(m.text) + ". "
	}
	return v, nil
}

// curvesBelow are the curves of the chart below, if there is one, with names that say what they are.
func (c Chart) curvesBelow() []curve {
	if c.below == nil {
		return nil
	}
	all := slices.Clone(c.below.curves)
	for i := range all {
		all[i].name += ": " + c.below.Title
	}
	return all
}
