package units_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/results/units"
)

func TestFormat(t *testing.T) {
	for _, test := range []struct {
		value float64
		unit  string
		want  string
	}{
		{941234567, "bit/s", "941.2 Mbit/s"}, {90532000, "bit/s", "90.5 Mbit/s"}, {1e9, "bit/s", "1 Gbit/s"}, {500, "bit/s", "500 bit/s"},
		{0.001027, "s", "1.03 ms"}, {0.0000415, "s", "41.5 µs"}, {4.3e6, "B", "4.3 MB"}, {-2500, "B", "-2.5 kB"},
		{0, "bit/s", "0 bit/s"}, {5431, "segments", "5,431 segments"}, {1234.5, "packets", "1,234 packets"}, {0.99871, "ratio", "0.999"},
		{2.0 / 3, "ratio", "0.667"}, {0.0123, "ratio", "0.0123"}, {math.NaN(), "s", "– ns"},
	} {
		assert.Equal(t, test.want, units.Format(test.value, test.unit), "%v %s", test.value, test.unit)
	}
	assert.Equal(t, "12.3 %", units.Percent(0.1234))
	assert.Equal(t, "100 %", units.Percent(1))
	assert.Equal(t, "66.7 %", units.Percent(2.0/3))
}
