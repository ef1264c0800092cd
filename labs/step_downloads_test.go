package labs

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestDownloadsValidate(t *testing.T) {
	s := &DownloadsStep{Events: []Event{{After: 2, Fail: "lb-1", Join: "lb-1"}, {After: 1, Join: "lb-2", Detection: 1}, {After: 3}}}
	var texts []string
	for _, err := range s.validate(nil) {
		texts = append(texts, err.Error())
	}
	assert.Equal(t, []string{
		"count: found less than 1 (want 1 or more)",
		"rate, length: must be given",
		"events[0]: want exactly one of fail, join, drain, return",
		"events[1].after: want them in the order of their times",
		"events[1].detection: only fail has one",
		"events[2]: want exactly one of fail, join, drain, return",
	}, texts)
}
