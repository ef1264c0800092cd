package words

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestList(t *testing.T) {
	assert.Equal(t, "none", List([]string(nil)))
	assert.Equal(t, "lb", List([]string{"lb"}))
	assert.Equal(t, "10.0.0.1, fd00::1", List([]netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}))
}
