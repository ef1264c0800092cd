package proxies

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

var update = flag.Bool("update", false, "write what the tests got into the golden files")

func golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

func proxyOf(send proxyproto.Version, listen, upstream string) *Proxy {
	return &Proxy{
		Name: "front", Node: "proxy", Listen: netip.MustParseAddrPort(listen), Upstream: netip.MustParseAddrPort(upstream), Send: send,
	}
}

var (
	over4 = func(send proxyproto.Version) *Proxy { return proxyOf(send, "1.2.3.5:8000", "185.150.8.128:8080") }
	over6 = func(send proxyproto.Version) *Proxy {
		return proxyOf(send, "[2001:db8::5]:8000", "[2001:db8:8::128]:8080")
	}
)

func TestConfigs(t *testing.T) {
	nginx := func(p *Proxy, module string) string {
		config, err := p.NginxConfig("/run/lab/front", module)
		require.NoError(t, err)
		return config
	}
	for file, config := range map[string]string{
		"nginx-http.conf":       nginx(over4(proxyproto.None), ""),
		"nginx-http-ipv6.conf":  nginx(over6(proxyproto.None), ""),
		"nginx-v1.conf":         nginx(over4(proxyproto.V1), ""),
		"nginx-v1-module.conf":  nginx(over4(proxyproto.V1), "/modules/ngx_stream_module.so"),
		"haproxy-http.cfg":      over4(proxyproto.None).HAProxyConfig(),
		"haproxy-http-ipv6.cfg": over6(proxyproto.None).HAProxyConfig(),
		"haproxy-v1.cfg":        over4(proxyproto.V1).HAProxyConfig(),
		"haproxy-v2.cfg":        over4(proxyproto.V2).HAProxyConfig(),
	} {
		t.Run(file, func(t *testing.T) { golden(t, file, config) })
	}
}

func TestNginxHasNoVersion2(t *testing.T) {
	_, err := over4(proxyproto.V2).NginxConfig("/run/lab/front", "")
	assert.EqualError(t, err, "proxy nginx: nginx sends only version 1 of the PROXY header: use builtin or haproxy")
}

func TestNginxStreamModule(t *testing.T) {
	for _, test := range []struct {
		name, build string
		want        nginxStreamModule
	}{
		{"built in", "configure arguments: --prefix=/p --with-stream --with-stream_ssl_module", nginxStreamModule{builtIn: true}},
		{
			"in a file", "configure arguments: --prefix=/p --modules-path=/usr/lib/nginx/modules --with-stream=dynamic",
			nginxStreamModule{file: "/usr/lib/nginx/modules/ngx_stream_module.so"},
		},
		{"in a file under the prefix", "--prefix=/p --with-stream=dynamic --with-stream_geoip_module=dynamic", nginxStreamModule{file: "/p/modules/ngx_stream_module.so"}},
		{"nowhere", "configure arguments: --prefix=/p --with-stream_ssl_module", nginxStreamModule{}},
	} {
		t.Run(test.name, func(t *testing.T) { assert.Equal(t, test.want, parseNginxBuild(test.build)) })
	}
}

func TestParseEngine(t *testing.T) {
	for text, want := range map[string]Engine{"": Builtin, "builtin": Builtin, "nginx": Nginx, "haproxy": HAProxy} {
		e, err := ParseEngine(text)
		require.NoError(t, err)
		assert.Equal(t, want, e)
	}
	_, err := ParseEngine("squid")
	assert.EqualError(t, err, `unknown engine "squid" (want builtin, nginx or haproxy)`)
}

func TestValidate(t *testing.T) {
	require.NoError(t, over4(proxyproto.V2).Validate())
	err := (&Proxy{Listen: netip.MustParseAddrPort("1.2.3.5:0"), Upstream: netip.MustParseAddrPort("1.2.3.4:80")}).Validate()
	assert.EqualError(t, err, "missing name or node\nlisten: found 1.2.3.5:0 (want an address and a port)")
}

// The lines are as the kernel writes them.
func TestListensIn(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 05030201:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1 0 100 0 0 10 0
   1: 05030201:1F41 04030201:9000 01 00000000:00000000 00:00000000 00000000     0        0 101 1 0 100 0 0 10 0
`
	const table6 = `   0: B80D0120000000000000000005000000:1F40 00000000000000000000000000000000:0000 0A 00000000:00000000 0 0 0 102
`
	assert.True(t, listensIn(table, netip.MustParseAddrPort("1.2.3.5:8000")))
	assert.False(t, listensIn(table, netip.MustParseAddrPort("1.2.3.5:8001")), "a connection does not listen")
	assert.False(t, listensIn(table, netip.MustParseAddrPort("1.2.3.4:8000")), "another address")
	assert.True(t, listensIn(table6, netip.MustParseAddrPort("[2001:db8::5]:8000")))
}
