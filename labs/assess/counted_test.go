package assess

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A profile made from the counters that another one predicts is that profile.
func TestCountedProfile(t *testing.T) {
	o := fabric{}.observe()
	o.Profile = &Profile{Requests: 1000, RequestBytes: 400, ReplyBytes: 20e3}
	for _, port := range Predict(o).Ports {
		const seconds = 60
		o.Counters = append(o.Counters, Counters{
			Node: port.Node, Interval: metav1.Duration{Duration: seconds * time.Second},
			BytesIn: uint64(seconds * port.Now.BytesIn), BytesOut: uint64(seconds * port.Now.BytesOut),
			PacketsIn: uint64(seconds * port.Now.PacketsIn), PacketsOut: uint64(seconds * port.Now.PacketsOut),
		})
	}
	p := CountedProfile(o)
	require.NotNil(t, p)
	assert.InEpsilon(t, 1000, p.Requests, 0.01)
	assert.InEpsilon(t, 400, p.RequestBytes, 0.01)
	assert.InEpsilon(t, 20e3, p.ReplyBytes, 0.01)
	o.Counters = o.Counters[1:]
	assert.Nil(t, CountedProfile(o), "a node was not counted")
}
