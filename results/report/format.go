package report

import (
	"math"
	"strconv"
	"strings"

	"github.com/dsrlab/dsrlab/results"
)

// scale is a unit as people read it: the value is divided by divisor and followed by name.
type scale struct {
	divisor float64
	name    string
}

// scaleFor chooses the scale in which the largest of some values in unit reads well. Units that are not known stay.
func scaleFor(unit string, largest float64) scale {
	prefixes := map[string][]scale{
		"bit/s": {{1e9, "Gbit/s"}, {1e6, "Mbit/s"}, {1e3, "kbit/s"}, {1, "bit/s"}},
		"B":     {{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}, {1, "B"}},
		"bytes": {{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}, {1, "B"}},
		"s":     {{1, "s"}, {1e-3, "ms"}, {1e-6, "µs"}, {1e-9, "ns"}},
		"ms":    {{1e3, "s"}, {1, "ms"}, {1e-3, "µs"}},
		"us":    {{1e6, "s"}, {1e3, "ms"}, {1, "µs"}},
		"ratio": {{1, ""}},
	}
	known, ok := prefixes[unit]
	if !ok {
		return scale{1, unit}
	}
	largest = math.Abs(largest)
	for _, s := range known {
		if largest >= s.divisor {
			return s
		}
	}
	if largest == 0 {
		for _, s := range known {
			if s.divisor == 1 {
				return s
			}
		}
	}
	return known[len(known)-1]
}

// number prints a value with four significant digits, but whole numbers whole, and thousands apart.
func number(value float64) string {
	if math.IsNaN(value) {
		return "–"
	}
	if value == math.Trunc(value) && math.Abs(value) < 1e15 {
		return grouped(strconv.FormatFloat(value, 'f', 0, 64))
	}
	magnitude := int(math.Floor(math.Log10(math.Abs(value)))) // value is not 0 here
	text := strconv.FormatFloat(value, 'f', min(max(3-magnitude, 0), 12), 64)
	if whole, fraction, ok := strings.Cut(text, "."); ok {
		fraction = strings.TrimRight(fraction, "0")
		if fraction == "" {
			return grouped(whole)
		}
		return grouped(whole) + "." + fraction
	}
	return grouped(text)
}

func grouped(digits string) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	for i, digit := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return sign + b.String()
}

// Value prints a value with its unit, as in "941.2 Mbit/s".
func Value(value float64, unit string) string {
	s := scaleFor(unit, value)
	return strings.TrimSpace(number(value/s.divisor) + " " + s.name)
}

// Median prints the median of a summary with its unit; a dash where there is none.
func Median(m results.MetricSummary) string {
	if m.Median == nil {
		return "–"
	}
	return Value(*m.Median, m.Unit)
}

// Interval prints the confidence interval of a summary in the scale of its median; a dash where there is none.
func Interval(m results.MetricSummary) string {
	if m.CI95 == nil {
		return "–"
	}
	s := scaleFor(m.Unit, *m.Median)
	return number(m.CI95[0]/s.divisor) + " to " + number(m.CI95[1]/s.divisor)
}
