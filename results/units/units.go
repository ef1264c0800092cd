// Package units prints measured values as people read them: 941.2 Mbit/s, 1.03 ms, 4.3 MB, 12 %.
package units

import (
	"math"
	"strconv"
	"strings"
)

// Scale is a unit as people read it: a value is divided by Divisor and followed by Name.
type Scale struct {
	Divisor float64
	Name    string
}

// ScaleFor chooses the scale in which the largest of some values in unit reads well. Units that are not known stay.
func ScaleFor(unit string, largest float64) Scale {
	prefixes := map[string][]Scale{
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
		return Scale{1, unit}
	}
	largest = math.Abs(largest)
	for _, s := range known {
		if largest >= s.Divisor {
			return s
		}
	}
	if largest == 0 {
		for _, s := range known {
			if s.Divisor == 1 {
				return s
			}
		}
	}
	return known[len(known)-1]
}

// Format prints a value with its unit, as in "941.2 Mbit/s". A ratio has no unit.
func Format(value float64, unit string) string {
	s := ScaleFor(unit, value)
	return strings.TrimSpace(Number(value/s.Divisor) + " " + s.Name)
}

// Percent prints a share of 1 as in "12.3 %".
func Percent(share float64) string { return Number(share*100) + " %" }

// Number prints a value with three significant digits, but whole numbers whole, a decimal at least below 1,000, and thousands
// apart.
func Number(value float64) string {
	if math.IsNaN(value) {
		return "–"
	}
	if value == math.Trunc(value) && math.Abs(value) < 1e15 {
		return grouped(strconv.FormatFloat(value, 'f', 0, 64))
	}
	magnitude := int(math.Floor(math.Log10(math.Abs(value)))) // value is not 0 here
	decimals := min(max(2-magnitude, 0), 12)
	if magnitude == 2 {
		decimals = 1
	}
	text := strconv.FormatFloat(value, 'f', decimals, 64)
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
