package apiserver

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	kubeapiserver "k8s.io/kubernetes/cmd/kube-apiserver/app/testing"
)

// serve starts etcd and an API server in this process, with these flags beside others; both end with the test.
func serve(t *testing.T, flags ...string) *kubeapiserver.TestServer {
	t.Helper()
	config := embed.NewConfig()
	config.Dir = t.TempDir()
	config.LogLevel = "error"
	config.LogOutputs = []string{filepath.Join(t.TempDir(), "etcd.log")}
	free := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	config.ListenClientUrls, config.ListenPeerUrls = free, free
	config.AdvertiseClientUrls, config.AdvertisePeerUrls = free, free
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	etcd, err := embed.StartEtcd(config)
	require.NoError(t, err)
	t.Cleanup(etcd.Close)
	select {
	case <-etcd.Server.ReadyNotify():
	case <-time.After(time.Minute):
		t.Fatal("etcd is not ready after a minute")
	}
	storage := storagebackend.NewDefaultConfig("registry", nil)
	storage.Transport.ServerList = []string{"http://" + etcd.Clients[0].Addr().String()}
	options := kubeapiserver.NewDefaultTestServerOptions()
	options.DisableInvariantChecks = true
	server, err := kubeapiserver.StartTestServer(t, options, append([]string{
		"--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none",
	}, flags...), storage)
	require.NoError(t, err)
	t.Cleanup(server.TearDownFn)
	return &server
}

func clientOf(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = 1000, 1000
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	return client
}

// door is where nodes of a lab reach the API server: it listens in a namespace of the lab, and can be shut.
type door struct {
	listen func() (net.Listener, error)
	to     string

	mu       sync.Mutex
	listener net.Listener
	open     []net.Conn
}

func (d *door) Open(t *testing.T) {
	t.Helper()
	listener, err := d.listen()
	require.NoError(t, err)
	d.mu.Lock()
	d.listener = listener
	d.mu.Unlock()
	go func() {
		for {
			outer, err := listener.Accept()
			if err != nil {
				return
			}
			inner, err := net.Dial("tcp", d.to)
			if err != nil {
				outer.Close()
				continue
			}
			d.mu.Lock()
			d.open = append(d.open, outer, inner)
			d.mu.Unlock()
			go pipe(outer, inner)
			go pipe(inner, outer)
		}
	}()
}

func pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	to.Close()
}

// Shut is as if the API server's machine were gone.
func (d *door) Shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener != nil {
		d.listener.Close()
	}
	for _, conn := range d.open {
		conn.Close()
	}
	d.listener, d.open = nil, nil
}

// kubeconfig is a file that reaches the API server by the door.
func kubeconfig(t *testing.T, config *rest.Config, at string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: lab
contexts: [{name: lab, context: {cluster: lab, user: lab}}]
clusters: [{name: lab, cluster: {server: "https://%s", insecure-skip-tls-verify: true}}]
users: [{name: lab, user: {token: %q}}]
`, at, config.BearerToken), 0o600))
	return file
}
