package probe

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseXDPFeatures(t *testing.T) {
	// A header of generic netlink, the device's index, and the features: an attribute of 12 bytes and type 3.
	head := []byte{1, 1, 0, 0, 8, 0, 1, 0, 2, 0, 0, 0}
	with := func(features byte) [][]byte {
		return [][]byte{append(append([]byte{}, head...), 12, 0, 3, 0, features, 0, 0, 0, 0, 0, 0, 0)}
	}
	runs, err := parseXDPFeatures(with(0x23))
	require.NoError(t, err)
	assert.True(t, runs)
	runs, err = parseXDPFeatures(with(2))
	require.NoError(t, err)
	assert.False(t, runs, "it only takes what others redirect")
	for _, messages := range [][][]byte{nil, {{1}}, {head}} {
		_, err = parseXDPFeatures(messages)
		assert.EqualError(t, err, "the kernel's answer has no XDP features")
	}
}
