package labs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Scale is what a run divides all rates of its topology by, because the machine can't carry them as they are. Bursts and queues keep
// their bytes. The zero value leaves the choice to the run.
type Scale int

// Scales returns all scales that a run can have, largest rates first.
func Scales() []Scale { return []Scale{1, 2, 5, 10, 20} }

// String writes the scale as a fraction of the topology's rates: 1, 1/2, …
func (s Scale) String() string {
	if s <= 1 {
		return "1"
	}
	return fmt.Sprintf("1/%d", int(s))
}

// Factor returns the share of its rate that a link keeps.
func (s Scale) Factor() float64 { return 1 / float64(max(s, 1)) }

// ParseScale parses a scale as formatted by String.
func ParseScale(text string) (Scale, error) {
	for _, s := range Scales() {
		if text == s.String() {
			return s, nil
		}
	}
	return 0, fmt.Errorf("unknown scale %q (want %s)", text, scaleNames())
}

func scaleNames() string {
	var names []string
	for _, s := range Scales() {
		names = append(names, s.String())
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// scaleOf parses the scale of a run's manifest; it is 1 in runs that were recorded before there were scales.
func scaleOf(text string) Scale {
	s, err := ParseScale(text)
	if err != nil {
		return 1
	}
	return s
}

// next returns the next smaller scale; ok is false after the smallest.
func (s Scale) next() (smaller Scale, ok bool) {
	all := Scales()
	i := slices.Index(all, max(s, 1))
	if i < 0 || i+1 == len(all) {
		return s, false
	}
	return all[i+1], true
}

// describeRate formats a rate for people, as in 0.6 Gbit/s.
func describeRate(bits float64) string {
	switch {
	case bits >= 1e8:
		return strconv.FormatFloat(bits/1e9, 'f', 1, 64) + " Gbit/s"
	default:
		return strconv.FormatFloat(bits/1e6, 'f', 1, 64) + " Mbit/s"
	}
}
