package main

import (
	"bytes"
	"encoding/xml"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs"
)

// TestPictures: each lab has a picture, the same each time, which asks for nothing else and fits beside a README.
func TestPictures(t *testing.T) {
	names, err := labs.Catalogue()
	require.NoError(t, err)
	for _, name := range names {
		var first, second bytes.Buffer
		require.NoError(t, picture(&first, name))
		require.NoError(t, picture(&second, name))
		assert.Equal(t, first.String(), second.String(), name)
		assert.Less(t, first.Len(), 64<<10, name)
		require.NoError(t, xml.Unmarshal(first.Bytes(), &struct{}{}), name)
		for _, foreign := range []string{"<script", "href=", "url(", "@import"} {
			assert.NotContains(t, first.String(), foreign, name)
		}
	}
}
