package topologies

import (
	"encoding/json"
	"math"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRate(t *testing.T) {
	for text, want := range map[string]Rate{
		"0bit": 0, "5bit": 5, "10kbit": 10_000, "100mbit": 100_000_000, "1gbit": 1_000_000_000, "2500mbit": 2_500_000_000, "1500bit": 1500,
		"9223372036854775807bit": math.MaxInt64,
	} {
		got, err := ParseRate(text)
		require.NoError(t, err)
		assert.Equal(t, want, got)
		assert.Equal(t, text, got.String())
	}
	same, err := ParseRate("1000kbit")
	require.NoError(t, err)
	assert.Equal(t, "1mbit", same.String(), "in the largest unit that divides it")
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"0b": 0, "3000b": 3000, "64kb": 65536, "2mb": 2 << 20, "1025b": 1025} {
		got, err := ParseSize(text)
		require.NoError(t, err)
		assert.Equal(t, want, got)
		assert.Equal(t, text, got.String())
	}
}

func TestUnitErrors(t *testing.T) {
	for text, want := range map[string]string{
		"100 megs":                `rate "100 megs": unit must be one of bit, kbit, mbit, gbit`,
		"100":                     `rate "100": unit must be one of bit, kbit, mbit, gbit`,
		"100Mbit":                 `rate "100Mbit": unit must be one of bit, kbit, mbit, gbit`,
		"1tbit":                   `rate "1tbit": unit must be one of bit, kbit, mbit, gbit`,
		"":                        `rate "": must be a whole number and a unit, as in 100mbit`,
		"mbit":                    `rate "mbit": must be a whole number and a unit, as in 100mbit`,
		"-1mbit":                  `rate "-1mbit": must be a whole number and a unit, as in 100mbit`,
		"1.5gbit":                 `rate "1.5gbit": must be a whole number and a unit, as in 100mbit`,
		"9223372036854775808bit":  `rate "9223372036854775808bit": is too large`,
		"9223372037gbit":          `rate "9223372037gbit": is too large`,
		"99999999999999999999bit": `rate "99999999999999999999bit": is too large`,
	} {
		_, err := ParseRate(text)
		assert.EqualError(t, err, want)
	}
	_, err := ParseSize("64 kB")
	assert.EqualError(t, err, `size "64 kB": unit must be one of b, kb, mb`)
}

func TestUnitsInJSON(t *testing.T) {
	shape := Shape{Rate: 1e8, Queue: 64 << 10, Burst: 3076}
	data, err := json.Marshal(shape)
	require.NoError(t, err)
	assert.JSONEq(t, `{"rate":"100mbit","queue":"64kb","burst":"3076b"}`, string(data))
	var read Shape
	require.NoError(t, json.Unmarshal(data, &read))
	assert.Equal(t, shape, read)
	assert.EqualError(t, json.Unmarshal([]byte(`{"rate":100}`), &read), "rate 100: must be a whole number and a unit, as in 100mbit")
	assert.EqualError(t, json.Unmarshal([]byte(`{"queue":[1]}`), &read), "size [1]: must be a whole number and a unit, as in 64kb")
}

func TestHardwareAddr(t *testing.T) {
	var a HardwareAddr
	require.NoError(t, a.UnmarshalText([]byte("02:00:c0:a8:01:0b")))
	assert.Equal(t, macOf(macOwn, netip.MustParseAddr("192.168.1.11")), a)
	data, err := json.Marshal(Neighbour{Address: netip.MustParseAddr("192.168.1.11"), MAC: a})
	require.NoError(t, err)
	assert.JSONEq(t, `{"address":"192.168.1.11","mac":"02:00:c0:a8:01:0b"}`, string(data))
	require.NoError(t, a.UnmarshalText(nil))
	assert.Nil(t, a)
	assert.EqualError(t, a.UnmarshalText([]byte("02:00")), `parse hardware address: "02:00" is none, use one as in 02:00:c0:a8:01:0b`)
	assert.EqualError(t, a.UnmarshalText([]byte("02:00:5e:10:00:00:00:01")),
		`parse hardware address: "02:00:5e:10:00:00:00:01" is none, use one as in 02:00:c0:a8:01:0b`)
}

func TestAddresses(t *testing.T) {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	assert.Equal(t, addr("10.0.1.4"), addAddr(addr("10.0.0.250"), 10))
	assert.False(t, addAddr(addr("255.255.255.250"), 6).IsValid())
	assert.Equal(t, addr("fd00::1:0:0:0:5"), addAddr(addr("fd00::ffff:ffff:ffff:ffff"), 6))
	assert.False(t, addAddr(addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 1).IsValid())
	assert.Equal(t, prefix("10.0.5.0/24"), addPrefix(prefix("10.0.1.0/24"), 4))
	assert.False(t, addPrefix(prefix("255.255.255.0/24"), 1).IsValid())
	assert.False(t, addPrefix(prefix("0.0.0.0/0"), 1).IsValid())
	assert.Equal(t, prefix("fd00:0:0:4::/64"), addPrefix(prefix("fd00::/64"), 4))
	assert.Equal(t, prefix("fd00::400/120"), addPrefix(prefix("fd00::/120"), 4))
	assert.False(t, addPrefix(prefix("ffff::/16"), 1).IsValid())
	assert.False(t, addPrefix(prefix("::/0"), 1).IsValid())
	assert.Equal(t, addr("192.168.1.255"), lastAddr(prefix("192.168.1.0/24")))
	assert.Equal(t, addr("fd00::ffff"), lastAddr(prefix("fd00::/112")))
	assert.Equal(t, addr("192.168.1.254"), defaultGateway(prefix("192.168.1.0/24")))
	assert.Equal(t, addr("fd00::1"), defaultGateway(prefix("fd00::/64")))
}
