package apiserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"github.com/dsrlab/dsrlab/topologies/netns"
)

// kubelet is what a kubelet and a container runtime do for pods of dsrlab on one node: it runs the real program in the node's network with
// the pod's capabilities, posts what becomes of it, and attaches to it. It knows no image but one.
type kubelet struct {
	t       *testing.T
	client  *kubernetes.Clientset
	network *netns.Network
	node    string
	image   string // the one that it has
	labpod  string
	ca      string // file of the API server's certificate
	folder  string // of volumes
	server  *httptest.Server

	mu         sync.Mutex
	containers map[types.UID]*container
}

// container is a process of a pod.
type container struct {
	pod       *corev1.Pod
	cmd       *exec.Cmd
	in        io.WriteCloser
	out, errs *faucet
	ended     chan struct{} // closed when it has
	err       error         // of its end
	late      bool          // its deadline is over
}

// faucet hands what is written to it to who is attached, and else away, as a container runtime does.
type faucet struct {
	mu sync.Mutex
	to io.Writer
	// kept is what was written before anybody was attached: the container's log.
	kept strings.Builder
}

func (f *faucet) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.to != nil {
		if _, err := f.to.Write(p); err != nil {
			f.to = nil
		}
	} else {
		f.kept.Write(p)
	}
	return len(p), nil
}

func (f *faucet) attach(to io.Writer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.to = to
}

// run begins to serve the node, and ends with the test.
func (k *kubelet) run() {
	k.containers = make(map[types.UID]*container)
	k.server = httptest.NewUnstartedServer(http.HandlerFunc(k.attach))
	k.server.TLS = &tls.Config{NextProtos: []string{"http/1.1"}}
	k.server.StartTLS()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := k.sync(ctx); err != nil && ctx.Err() == nil {
				k.t.Logf("kubelet of %s: %v", k.node, err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	k.t.Cleanup(func() {
		cancel()
		<-done
		for _, c := range k.containers {
			_ = c.cmd.Process.Kill()
			<-c.ended
		}
		k.server.CloseClientConnections()
		k.server.Close()
	})
}

// port is where the API server reaches it.
func (k *kubelet) port() int32 {
	_, text, err := net.SplitHostPort(k.server.Listener.Addr().String())
	require.NoError(k.t, err)
	port, err := strconv.Atoi(text)
	require.NoError(k.t, err)
	return int32(port)
}

// sync does what the pods of the node want.
func (k *kubelet) sync(ctx context.Context) error {
	list, err := k.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + k.node})
	if err != nil {
		return err
	}
	var errs []error
	for i := range list.Items {
		errs = append(errs, k.syncPod(ctx, &list.Items[i]))
	}
	return errors.Join(errs...)
}

func (k *kubelet) syncPod(ctx context.Context, p *corev1.Pod) error {
	k.mu.Lock()
	c := k.containers[p.UID]
	k.mu.Unlock()
	pods := k.client.CoreV1().Pods(p.Namespace)
	switch {
	case p.DeletionTimestamp != nil:
		if c != nil {
			_ = c.cmd.Process.Kill()
			<-c.ended
		}
		now := int64(0)
		err := pods.Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: metav1.NewUIDPreconditions(string(p.UID))})
		if apierrors.IsNotFound(err) {
			err = nil
		}
		return err
	case p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed:
		return nil
	case c == nil && p.Spec.Containers[0].Image != k.image:
		return k.post(ctx, p, corev1.PodPending, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
			Reason: "ErrImagePull", Message: "failed to resolve reference " + p.Spec.Containers[0].Image}})
	case c == nil:
		c, err := k.start(ctx, p)
		if err != nil {
			return err
		}
		k.mu.Lock()
		k.containers[p.UID] = c
		k.mu.Unlock()
		return k.post(ctx, p, corev1.PodRunning, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}})
	}
	select {
	case <-c.ended:
		return k.postEnd(ctx, p, c)
	default:
		return nil
	}
}

// post writes the pod's status.
func (k *kubelet) post(ctx context.Context, p *corev1.Pod, phase corev1.PodPhase, state corev1.ContainerState) error {
	p.Status.Phase = phase
	ready := state.Running != nil
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: p.Spec.Containers[0].Name, Image: p.Spec.Containers[0].Image, State: state, Ready: ready, Started: &ready}}
	_, err := k.client.CoreV1().Pods(p.Namespace).UpdateStatus(ctx, p, metav1.UpdateOptions{})
	return err
}

func (k *kubelet) postEnd(ctx context.Context, p *corev1.Pod, c *container) error {
	phase, end := corev1.PodSucceeded, &corev1.ContainerStateTerminated{Reason: "Completed"}
	if c.err != nil || c.late {
		phase = corev1.PodFailed
		end = &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 1, Message: c.errs.kept.String()}
	}
	if c.late {
		p.Status.Reason = "DeadlineExceeded"
	}
	return k.post(ctx, p, phase, corev1.ContainerState{Terminated: end})
}

// start runs the pod's program.
func (k *kubelet) start(ctx context.Context, p *corev1.Pod) (*container, error) {
	spec := &p.Spec.Containers[0]
	args := append([]string{k.labpod}, spec.Command[1:]...)
	for _, mount := range spec.VolumeMounts { // in place of a mount the program is told where the files are
		folder, err := k.volume(ctx, p, mount.Name)
		if err != nil {
			return nil, err
		}
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], mount.MountPath, folder)
		}
	}
	bounds := "-all"
	for _, capability := range spec.SecurityContext.Capabilities.Add {
		bounds += ",+" + strings.ToLower(string(capability))
	}
	c := &container{pod: p.DeepCopy(), out: &faucet{}, errs: &faucet{}, ended: make(chan struct{})}
	c.cmd = exec.Command("setpriv", append([]string{"--bounding-set=" + bounds, "--inh-caps=-all", "--no-new-privs", "--"}, args...)...)
	c.cmd.Env = append(os.Environ(), "KUBERNETES_SERVICE_HOST=127.0.0.1", "KUBERNETES_SERVICE_PORT="+apiPort)
	c.cmd.Stdout, c.cmd.Stderr = c.out, c.errs
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	c.in = in
	if err := k.network.Do(k.node, c.cmd.Start); err != nil {
		return nil, err
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.ended)
	}()
	if seconds := p.Spec.ActiveDeadlineSeconds; seconds != nil {
		go func() {
			select {
			case <-c.ended:
			case <-time.After(time.Duration(*seconds) * time.Second):
				c.late = true
				_ = c.cmd.Process.Kill()
			}
		}()
	}
	return c, nil
}

// volume writes the files of a projected volume with the token of a service account.
func (k *kubelet) volume(ctx context.Context, p *corev1.Pod, name string) (string, error) {
	folder := filepath.Join(k.folder, string(p.UID), name)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	authority, err := os.ReadFile(k.ca)
	if err != nil {
		return "", err
	}
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		if v.Name != name {
			continue
		}
		for _, source := range v.Projected.Sources {
			if source.ServiceAccountToken == nil {
				continue
			}
			request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: source.ServiceAccountToken.ExpirationSeconds,
				BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: p.Name, UID: p.UID}}}
			got, err := k.client.CoreV1().ServiceAccounts(p.Namespace).CreateToken(ctx, p.Spec.ServiceAccountName, request, metav1.CreateOptions{})
			if err != nil {
				return "", fmt.Errorf("token of %s: %w", p.Spec.ServiceAccountName, err)
			}
			if err := os.WriteFile(filepath.Join(folder, source.ServiceAccountToken.Path), []byte(got.Status.Token), 0o600); err != nil {
				return "", err
			}
		}
	}
	return folder, os.WriteFile(filepath.Join(folder, "ca.crt"), authority, 0o600)
}

// attach serves the API server's requests: /attach/NAMESPACE/POD/CONTAINER.
func (k *kubelet) attach(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if len(parts) != 4 || parts[0] != "attach" {
		http.NotFound(w, r)
		return
	}
	c := k.find(parts[1], parts[2])
	if c == nil {
		http.NotFound(w, r)
		return
	}
	o, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	const long = time.Minute
	remotecommand.ServeAttach(w, r, attacher{c}, parts[2], "", parts[3], o, long, long, remotecommand.SupportedStreamingProtocols)
}

func (k *kubelet) find(namespace, name string) *container {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.containers {
		if c.pod.Namespace == namespace && c.pod.Name == name {
			return c
		}
	}
	return nil
}

// kill ends the program of a pod of the node, and reports whether there was one.
func (k *kubelet) kill(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.containers {
		select {
		case <-c.ended:
			continue
		default:
		}
		if strings.HasPrefix(c.pod.Name, name) {
			assert.NoError(k.t, c.cmd.Process.Kill())
			return true
		}
	}
	return false
}

// attacher attaches to a container. With the first one that goes its input ends, as of a container with stdinOnce.
type attacher struct{ c *container }

func (a attacher) AttachContainer(_ context.Context, _, _, _ string, in io.Reader, out, errs io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize) error {
	a.c.out.attach(out)
	a.c.errs.attach(errs)
	if in != nil {
		go func() {
			_, _ = io.Copy(a.c.in, in)
			a.c.in.Close()
		}()
	}
	<-a.c.ended
	return nil
}
