package proxies

import (
	"fmt"
	"os/exec"
	"strings"

	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

// haproxyHead makes it one thread: of a process with several, sockets may outlive the first, which is what is waited for.
const haproxyHead = `global
  nbthread 1
  maxconn 1000
defaults
  mode %s
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend clients
  bind %s
`

// HAProxyConfig is the proxy as HAProxy is told of it. HAProxy appends by a header line of its own, which means the same as an
// entry at the end of the line before. Its option for Forwarded is younger than the releases that are in use, so the header is
// written by a rule.
func (p *Proxy) HAProxyConfig() string {
	var b strings.Builder
	mode := "http"
	if p.Send != proxyproto.None {
		mode = "tcp"
	}
	fmt.Fprintf(&b, haproxyHead, mode, p.Listen)
	if p.Send == proxyproto.None {
		from := "for=%[src]"
		if p.Listen.Addr().Is6() {
			from = `for=\"[%[src]]\"`
		}
		fmt.Fprintf(&b, "  option forwardfor\n  http-request add-header Forwarded %s\n", from)
	}
	fmt.Fprintf(&b, "  default_backend upstream\nbackend upstream\n  server upstream %s", p.Upstream)
	switch p.Send {
	case proxyproto.V1:
		b.WriteString(" send-proxy")
	case proxyproto.V2:
		b.WriteString(" send-proxy-v2")
	}
	b.WriteString("\n")
	return b.String()
}

// findHAProxy finds HAProxy.
func findHAProxy() (program string, err error) {
	program, err = exec.LookPath("haproxy")
	if err != nil {
		return "", &UnsupportedError{HAProxy, "it is not installed", "apt-get install haproxy"}
	}
	return program, nil
}
