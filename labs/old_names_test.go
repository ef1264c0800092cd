package labs

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestParseOldNames: a lab that was written when a metric had another name is still one.
func TestParseOldNames(t *testing.T) {
	for _, file := range []string{"02-throughput/lab.yaml", "08-oversubscription/lab.yaml", "12-when-snat-is-fine/lab.yaml"} {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		now, err := Parse(file, data)
		require.NoError(t, err)
		old := bytes.ReplaceAll(data, []byte("payload_rate"), []byte("goodput"))
		require.NotEqual(t, data, old)
		then, err := Parse(file, bytes.ReplaceAll(old, []byte("# goodput"), []byte("# payload_rate")))
		require.NoError(t, err)
		assert.Equal(t, now.Spec.Expectations, then.Spec.Expectations)
		assert.Equal(t, now.Spec.Report, then.Spec.Report)
	}
}
