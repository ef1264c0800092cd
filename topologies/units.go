package topologies

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Rate is in bits per second; it is written with a unit, as in 100mbit or 1gbit (powers of ten).
type Rate int64

// Size is in bytes; it is written with a unit, as in 64kb or 3000b (k is 1024, as tc has it).
type Size int64

// unit is a suffix and what it multiplies by.
type unit struct {
	suffix string
	factor int64
}

// rateUnits and sizeUnits are in ascending order.
func rateUnits() []unit { return []unit{{"bit", 1}, {"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}} }
func sizeUnits() []unit { return []unit{{"b", 1}, {"kb", 1 << 10}, {"mb", 1 << 20}} }

// ParseRate reads a rate: a whole number and one of the units bit, kbit, mbit, gbit.
func ParseRate(text string) (Rate, error) {
	value, err := parseUnit("rate", "100mbit", text, rateUnits())
	return Rate(value), err
}

// ParseSize reads a size: a whole number and one of the units b, kb, mb.
func ParseSize(text string) (Size, error) {
	value, err := parseUnit("size", "64kb", text, sizeUnits())
	return Size(value), err
}

func parseUnit(what, example, text string, units []unit) (int64, error) {
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	number, suffix := text[:digits], text[digits:]
	if number == "" || strings.HasPrefix(suffix, ".") {
		return 0, fmt.Errorf("%s %q: must be a whole number and a unit, as in %s", what, text, example)
	}
	names := make([]string, len(units))
	for i, u := range units {
		names[i] = u.suffix
		if u.suffix != suffix {
			continue
		}
		value, err := strconv.ParseInt(number, 10, 64)
		if err != nil || value > math.MaxInt64/u.factor {
			return 0, fmt.Errorf("%s %q: is too large", what, text)
		}
		return value * u.factor, nil
	}
	return 0, fmt.Errorf("%s %q: unit must be one of %s", what, text, strings.Join(names, ", "))
}

// formatUnit writes a value in the largest unit that divides it.
func formatUnit(value int64, units []unit) string {
	best := units[0]
	for _, u := range units {
		if value != 0 && value%u.factor == 0 {
			best = u
		}
	}
	return strconv.FormatInt(value/best.factor, 10) + best.suffix
}

// String writes the rate as ParseRate reads it, in the largest unit that divides it.
func (r Rate) String() string { return formatUnit(int64(r), rateUnits()) }

// String writes the size as ParseSize reads it, in the largest unit that divides it.
func (s Size) String() string { return formatUnit(int64(s), sizeUnits()) }

// MarshalJSON writes the rate as a string.
func (r Rate) MarshalJSON() ([]byte, error) { return json.Marshal(r.String()) }

// MarshalJSON writes the size as a string.
func (s Size) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalJSON reads a string with a unit; a bare number is refused.
func (r *Rate) UnmarshalJSON(data []byte) error {
	text, err := unquoteUnit("rate", "100mbit", data)
	if err == nil {
		*r, err = ParseRate(text)
	}
	return err
}

// UnmarshalJSON reads a string with a unit; a bare number is refused.
func (s *Size) UnmarshalJSON(data []byte) error {
	text, err := unquoteUnit("size", "64kb", data)
	if err == nil {
		*s, err = ParseSize(text)
	}
	return err
}

func unquoteUnit(what, example string, data []byte) (string, error) {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return "", fmt.Errorf("%s %s: must be a whole number and a unit, as in %s", what, data, example)
	}
	return text, nil
}
