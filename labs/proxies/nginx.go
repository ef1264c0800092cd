package proxies

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

// nginxHead runs it as one process in the foreground, with its files in the lab's folder.
const nginxHead = `daemon off;
master_process off;
pid %[1]s.pid;
error_log stderr warn;
`

// nginxHTTP appends addresses as RFC 7239 requires: an IPv6 address in brackets and quotes.
const nginxHTTP = `events {}
http {
  access_log off;
  client_body_temp_path %[1]s.body;
  proxy_temp_path %[1]s.proxy;
  fastcgi_temp_path %[1]s.fastcgi;
  uwsgi_temp_path %[1]s.uwsgi;
  scgi_temp_path %[1]s.scgi;
  map $http_forwarded $earlier {
    "" "";
    default "$http_forwarded, ";
  }
  server {
    listen %[2]s;
    location / {
      proxy_pass http://%[3]s;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header Forwarded '${earlier}for=%[4]s';
    }
  }
}
`

const nginxStream = `events {}
stream {
  server {
    listen %[2]s;
    proxy_pass %[3]s;
    proxy_protocol on;
  }
}
`

// NginxConfig returns the proxy's configuration for nginx. prefix is the path prefix of its own files; module is the file of the
// stream module, empty where it is built in.
func (p *Proxy) NginxConfig(prefix, module string) (string, error) {
	head := fmt.Sprintf(nginxHead, prefix)
	switch p.Send {
	case proxyproto.None:
		from := "$remote_addr"
		if p.Listen.Addr().Is6() {
			from = `"[$remote_addr]"`
		}
		return head + fmt.Sprintf(nginxHTTP, prefix, p.Listen, p.Upstream, from), nil
	case proxyproto.V1:
		if module != "" {
			head = "load_module " + module + ";\n" + head
		}
		return head + fmt.Sprintf(nginxStream, prefix, p.Listen, p.Upstream), nil
	}
	return "", &UnsupportedError{Nginx, "nginx sends only version 1 of the PROXY header", "use builtin or haproxy"}
}

// nginxStreamModule is where an nginx has its stream module: built in, in a file, or nowhere.
type nginxStreamModule struct {
	builtIn bool
	file    string
}

// parseNginxBuild finds the stream module in the output of nginx -V.
func parseNginxBuild(build string) nginxStreamModule {
	arguments := make(map[string]string)
	for argument := range strings.FieldsSeq(build) {
		name, value, _ := strings.Cut(argument, "=")
		arguments[name] = value
	}
	how, has := arguments["--with-stream"]
	switch {
	case !has:
		return nginxStreamModule{}
	case how != "dynamic":
		return nginxStreamModule{builtIn: true}
	}
	modules := arguments["--modules-path"]
	if modules == "" {
		modules = filepath.Join(arguments["--prefix"], "modules")
	}
	return nginxStreamModule{file: filepath.Join(modules, "ngx_stream_module.so")}
}

// findNginx returns the path of nginx, and the file of its stream module if the proxy needs one.
func findNginx(send proxyproto.Version) (program, module string, err error) {
	program, err = exec.LookPath("nginx")
	if err != nil {
		return "", "", &UnsupportedError{Nginx, "not installed", "apt-get install nginx-light"}
	}
	switch send {
	case proxyproto.None:
		return program, "", nil
	case proxyproto.V1:
	default:
		return "", "", &UnsupportedError{Nginx, "nginx sends only version 1 of the PROXY header", "use builtin or haproxy"}
	}
	build, err := exec.Command(program, "-V").CombinedOutput()
	if err != nil {
		return "", "", fmt.Errorf("ask nginx for its modules: %w: %s", err, build)
	}
	m := parseNginxBuild(string(build))
	if m.builtIn {
		return program, "", nil
	}
	if _, err := os.Stat(m.file); m.file == "" || err != nil {
		return "", "", &UnsupportedError{Nginx, "missing stream module, which sends PROXY headers", "apt-get install libnginx-mod-stream"}
	}
	return program, m.file, nil
}
