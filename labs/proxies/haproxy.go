package proxies

import (
	"fmt"
	"os/exec"
	"strings"

	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

// haproxyHead sets one thread: in a process with several, sockets may outlive the first thread, which is the one waited for.
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

// HAProxyConfig returns the proxy's configuration for HAProxy. HAProxy appends a header line of its own, which is equivalent to an
// entry at the end of the previous line. Its option for Forwarded is newer than the releases in use, so the header is
// added by a rule.
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

// findHAProxy returns the path of HAProxy.
func findHAProxy() (program string, err error) {
	program, err = exec.LookPath("haproxy")
	if err != nil {
		return "", &UnsupportedError{HAProxy, "not installed", "apt-get install haproxy"}
	}
	return program, nil
}
