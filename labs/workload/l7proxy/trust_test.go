package l7proxy

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func TestTrustClient(t *testing.T) {
	proxies := Trust{Proxies: prefixes("10.0.0.0/8", "fd00::/8")}
	for _, test := range []struct {
		name  string
		trust Trust
		peer  string
		xff   []string
		want  string // "" is no address
	}{
		{"nothing is believed", Trust{}, "10.0.0.1", []string{"6.6.6.6"}, "10.0.0.1"},
		{"everything is believed", Trust{All: true}, "10.0.0.1", []string{"6.6.6.6, 192.0.2.10"}, "6.6.6.6"},
		{"everything, and there is nothing", Trust{All: true}, "10.0.0.1", nil, "10.0.0.1"},
		{"one hop", Trust{Hops: 1}, "10.0.0.1", []string{"6.6.6.6, 192.0.2.10"}, "192.0.2.10"},
		{"two hops over two lines", Trust{Hops: 2}, "10.0.0.1", []string{"6.6.6.6, 192.0.2.10", "10.0.0.2"}, "192.0.2.10"},
		{"more hops than entries", Trust{Hops: 3}, "10.0.0.1", []string{"192.0.2.10"}, "192.0.2.10"},
		{"hops believe a client that comes in past them", Trust{Hops: 1}, "192.0.2.10", []string{"6.6.6.6"}, "6.6.6.6"},
		{"proxies don't", proxies, "192.0.2.10", []string{"6.6.6.6"}, "192.0.2.10"},
		{"one proxy", proxies, "10.0.0.1", []string{"6.6.6.6, 192.0.2.10"}, "192.0.2.10"},
		{"two proxies", proxies, "10.0.0.1", []string{"6.6.6.6, 192.0.2.10, 10.9.9.9"}, "192.0.2.10"},
		{"two proxies over IPv6 with ports", proxies, "fd00::1", []string{"6.6.6.6, [2001:db8::a]:40000, [fd00::2]"}, "2001:db8::a"},
		{"all proxies", proxies, "10.0.0.1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"unknown", proxies, "10.0.0.1", []string{"192.0.2.10, unknown"}, ""},
		{"mapped", proxies, "10.0.0.1", []string{"192.0.2.10, ::ffff:10.0.0.9"}, "192.0.2.10"},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.NoError(t, test.trust.Validate())
			want := netip.Addr{}
			if test.want != "" {
				want = netip.MustParseAddr(test.want)
			}
			assert.Equal(t, want, test.trust.Client(http.Header{xForwardedFor: test.xff}, netip.MustParseAddr(test.peer)))
		})
	}
	forwarded := http.Header{forwardedHeader: {`for=6.6.6.6, For="[2001:db8::a]:4711";proto=http, for=10.0.0.7`}}
	assert.Equal(t, "2001:db8::a", proxies.Client(forwarded, netip.MustParseAddr("10.0.0.1")).String())
}

func TestTrustErrors(t *testing.T) {
	for want, trust := range map[string]Trust{
		"trusted hops: found -1 (want 0 to 32)":                                                                             {Hops: -1},
		"trusted proxies: found an invalid prefix":                                                                          {Proxies: []netip.Prefix{{}}},
		"trusted hops, trusted proxies, trust all: found several (want at most one)":                                        {Hops: 1, All: true},
		"trusted hops: found 33 (want 0 to 32)\ntrusted hops, trusted proxies, trust all: found several (want at most one)": {Hops: 33, Proxies: prefixes("10.0.0.0/8")},
	} {
		assert.EqualError(t, trust.Validate(), want)
	}
}

// The examples are those of RFC 7239 section 4, and what its grammar allows besides.
func TestParseForwarded(t *testing.T) {
	for _, test := range []struct {
		values []string
		want   []Element
	}{
		{nil, nil},
		{[]string{`for="_gazonk"`}, []Element{{For: "_gazonk"}}},
		{[]string{`For="[2001:db8:cafe::17]:4711"`}, []Element{{For: "[2001:db8:cafe::17]:4711"}}},
		{[]string{`for=192.0.2.60;proto=http;by=203.0.113.43`}, []Element{{For: "192.0.2.60", Proto: "http", By: "203.0.113.43"}}},
		{[]string{`for=192.0.2.43, for=198.51.100.17`}, []Element{{For: "192.0.2.43"}, {For: "198.51.100.17"}}},
		{[]string{`for=192.0.2.43`, `,for=unknown;host="a, \"b\";c" ;x=y;`}, []Element{{For: "192.0.2.43"}, {For: "unknown", Host: `a, "b";c`}}},
	} {
		got, err := ParseForwarded(test.values)
		require.NoError(t, err, test.values)
		for i := range got {
			assert.NotEmpty(t, got[i].raw)
			assert.Equal(t, got[i].raw, got[i].String())
			got[i].raw = ""
			again, err := ParseForwarded([]string{got[i].String()})
			require.NoError(t, err)
			again[0].raw = ""
			assert.Equal(t, got[i], again[0], "what is written can be read")
		}
		assert.Equal(t, test.want, got)
	}
}

func TestParseForwardedErrors(t *testing.T) {
	for in, want := range map[string]string{
		`for="1.2.3.4`: `parse Forwarded "for=\"1.2.3.4": unterminated quoted string`,
		`1.2.3.4`:      `parse Forwarded "1.2.3.4": found "1.2.3.4" (want name=value)`,
		`for=[::1]`:    `parse Forwarded "for=[::1]": value: found "[::1]" (want a token or a quoted string)`,
		`for=a;for=b`:  `parse Forwarded "for=a;for=b": parameter for: found twice (want it once)`,
		`for="a"b"c"`:  `parse Forwarded "for=\"a\"b\"c\"": value: found "\"a\"b\"c\"" (want a quoted string)`,
		`f r=a`:        `parse Forwarded "f r=a": found "f r=a" (want name=value)`,
	} {
		_, err := ParseForwarded([]string{in})
		assert.EqualError(t, err, want)
	}
}

func TestParseNode(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "192.0.2.1:80": "192.0.2.1", "192.0.2.1:_p": "192.0.2.1", "2001:db8::1": "2001:db8::1",
		"[2001:db8::1]": "2001:db8::1", "[2001:db8::1]:80": "2001:db8::1", "[2001:db8::1]:_p": "2001:db8::1", "fe80::1%eth0": "fe80::1",
		"unknown": "", "_hidden": "", "": "", "[192.0.2.1]": "", "example.org": "", "192.0.2.1:http": "",
	} {
		addr, ok := parseNode(in)
		assert.Equal(t, want != "", ok, in)
		if ok {
			assert.Equal(t, want, addr.String())
		}
	}
}
