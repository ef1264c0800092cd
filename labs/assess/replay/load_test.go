package replay

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// While replies are streamed, as many requests are in flight as get their replies in that time, and it is measured for several of these.
func TestFill(t *testing.T) {
	for name, test := range map[string]struct {
		request request
		ports   int
		limit   float64
		want    filling
	}{
		"replies in one part": {request{1000, 20000, 1}, 2, 300, filling{inFlight: 18, warm: time.Second, count: 2 * time.Second}},
		"large replies":       {request{1000, 1e6, 1}, 3, 30, filling{inFlight: 6, warm: time.Second, count: 2 * time.Second}},
		"small replies":       {request{100, 100, 0}, 3, 1e5, filling{inFlight: 128, warm: time.Second, count: 2 * time.Second}},
		// a reply takes 1.1 s, so 109 of them are under way at 99 each second
		"tokens": {request{1000, 4000, 1001}, 1, 99, filling{inFlight: 49 + 109, warm: 2200 * time.Millisecond, count: 4400 * time.Millisecond}},
	} {
		got, ok := test.request.fill(test.ports, test.limit, 2*time.Second)
		assert.True(t, ok, name)
		assert.Equal(t, test.want, got, name)
	}
	_, ok := request{1000, 4000, 1001}.fill(1, 1000, 2*time.Second)
	assert.False(t, ok, "too many would have to be in flight")
	_, ok = request{1000, 40000, 10001}.fill(1, 1, 2*time.Second)
	assert.False(t, ok, "it would take too long")
}

// Replies have the average of parts that the profile has.
func TestPartsOf(t *testing.T) {
	for average, want := range map[float64]int{0: 1000, 1: 1000, 1.1: 1100, 2.75: 2750, 7: 7000} {
		all := 0
		for i := range int64(1000) {
			parts := request{parts: average}.partsOf(i + 1)
			assert.InDelta(t, max(average, 1), parts, 1)
			all += parts
		}
		assert.InDelta(t, want, all, 1, average)
	}
}
