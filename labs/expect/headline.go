package expect

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/units"
)

// placeholder is {NAME} or {NAME:ID} in a headline, ID being that of another expectation of the lab.
var placeholder = regexp.MustCompile(`\{([^{}:]*)(?::([^{}]*))?\}`)

// placeholders returns the names that a headline may have between braces.
func placeholders() []string { return []string{"value", "percent", "ratio", "over", "of"} }

// Headline fills in an expectation's headline; it returns an empty string if there is none, or if something in it was not measured.
func (l List) Headline(e *Expectation, s results.Summary, ratio Compare) string {
	var errs []error
	told := placeholder.ReplaceAllStringFunc(e.Headline, func(found string) string {
		parts := placeholder.FindStringSubmatch(found)
		of := e
		if parts[2] != "" {
			of = l.Find(parts[2])
		}
		if of == nil {
			errs = append(errs, fmt.Errorf("no expectation %q", parts[2]))
			return ""
		}
		text, err := of.figure(parts[1], s, ratio)
		errs = append(errs, err)
		return text
	})
	if errors.Join(errs...) != nil {
		return ""
	}
	return told
}

// figure returns the value of a placeholder.
func (e *Expectation) figure(name string, s results.Summary, ratio Compare) (string, error) {
	value, unit, err := e.value(s)
	if err != nil {
		return "", err
	}
	switch name {
	case "value":
		return units.Format(value, unit), nil
	case "percent", "ratio":
		m, err := e.Measured(s, ratio)
		if name == "percent" {
			return units.Percent(m.Value), err
		}
		return units.Number(m.Value), err
	}
	other := *e
	if e.Over != "" {
		other.Variant = e.Over
	}
	labels := e.Labels
	if e.OverLabels != nil {
		labels = e.OverLabels
	}
	base, unit, err := other.median(s, labels)
	if err != nil {
		return "", err
	}
	if name == "over" {
		return units.Format(base, unit), nil
	}
	scale := units.ScaleFor(unit, base)
	return fmt.Sprintf("%s of %s", units.Number(value/scale.Divisor), units.Format(base, unit)), nil
}

// CheckHeadline returns every error in an expectation's headline.
func (l List) CheckHeadline(e *Expectation) []error {
	var errs []error
	for _, err := range l.CheckPlaceholders(e.Headline, e) {
		errs = append(errs, fmt.Errorf("headline: %w", err))
	}
	return errs
}

// CheckPlaceholders returns every error in the placeholders of a text; own is the expectation that those without an id mean, nil if
// all of them must have one.
func (l List) CheckPlaceholders(text string, own *Expectation) []error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, found := range placeholder.FindAllStringSubmatch(text, -1) {
		of := own
		if found[2] != "" {
			of = l.Find(found[2])
		}
		switch {
		case of == nil && found[2] == "":
			fail("%s: missing id (want {%s:ID}, the id of an expectation)", found[0], found[1])
		case of == nil:
			fail("%s: no expectation has this id", found[0])
		case !slices.Contains(placeholders(), found[1]):
			fail("%s: unknown placeholder (want %s)", found[0], strings.Join(placeholders(), ", "))
		case (found[1] == "over" || found[1] == "of") && of.Over == "" && of.OverLabels == nil:
			fail("%s: needs over or overLabels", found[0])
		}
	}
	if rest := placeholder.ReplaceAllString(text, ""); strings.ContainsAny(rest, "{}") {
		fail("%q: braces must enclose a placeholder", text)
	}
	return errs
}
