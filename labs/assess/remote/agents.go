package remote

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/dsrlab/dsrlab/labs/workload/probe"
	"github.com/dsrlab/dsrlab/topologies/objects"
)

// AttachBy attaches to pods by WebSockets, and by SPDY where the API server or a proxy before it knows none.
func AttachBy(client kubernetes.Interface, config *rest.Config) Attach {
	return func(ctx context.Context, namespace, pod string, in io.Reader, out, errs io.Writer) error {
		at := client.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("attach").VersionedParams(
			&corev1.PodAttachOptions{Container: agentContainer, Stdin: true, Stdout: true, Stderr: true}, scheme.ParameterCodec).URL()
		sockets, err := remotecommand.NewWebSocketExecutor(config, http.MethodGet, at.String())
		if err != nil {
			return err
		}
		spdy, err := remotecommand.NewSPDYExecutor(config, http.MethodPost, at)
		if err != nil {
			return err
		}
		executor, err := remotecommand.NewFallbackExecutor(sockets, spdy, func(err error) bool {
			return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
		})
		if err != nil {
			return err
		}
		return executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: in, Stdout: out, Stderr: errs})
	}
}

// awaitAgents waits until all pods run. An image that can't be had is a *LackingError.
func (s *Session) awaitAgents(ctx context.Context) error {
	s.OnStep(fmt.Sprintf("wait for %s", count(len(s.agents), "the pod", "the %d pods")))
	ctx, cancel := context.WithTimeoutCause(ctx, s.Timeouts.Pods, fmt.Errorf("not all pods run within %v", s.Timeouts.Pods))
	defer cancel()
	return s.poll(ctx, func(ctx context.Context) error {
		list, err := s.Options.Client.CoreV1().Pods(s.namespace.Name).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		running := map[string]bool{}
		for i := range list.Items {
			p := &list.Items[i]
			if err := s.lacks(p); err != nil {
				return &finalError{err}
			}
			running[p.Name] = p.Status.Phase == corev1.PodRunning
		}
		if !s.expires && running[expiry] {
			s.expires = true
			s.OnLeaves(s.Leaves())
		}
		for _, a := range s.agents {
			if !running[a.pod] {
				return fmt.Errorf("pod %s of node %s does not run yet%s", a.pod, a.node.Name, whyNot(list.Items, a.pod))
			}
		}
		return nil
	})
}

// lacks is why a pod will not run; nil as long as it may. An agent's pod that has ended will not, and that which removes the namespace may
// be late, but not without its image.
func (s *Session) lacks(p *corev1.Pod) error {
	why := objects.WhyNotReady(p)
	for _, reason := range []string{"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"} {
		if strings.HasPrefix(why, reason) {
			return &LackingError{
				What: fmt.Sprintf("node %s can't get the image %s (%s)", p.Spec.NodeName, s.Image, strings.TrimSpace(why)),
				How:  "make image writes it: load it onto the nodes, or push it to a registry that they reach and name it by --image",
			}
		}
	}
	if p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded {
		return &LackingError{What: fmt.Sprintf("pod %s of node %s has ended at once: %s", p.Name, p.Spec.NodeName, whyEnded(p))}
	}
	return nil
}

func whyNot(pods []corev1.Pod, name string) string {
	for i := range pods {
		if why := strings.TrimSpace(objects.WhyNotReady(&pods[i])); pods[i].Name == name && why != "" {
			return ": " + why
		}
	}
	return ""
}

// whyEnded is what kubelet says of a pod that has ended.
func whyEnded(p *corev1.Pod) string {
	var all []string
	for _, c := range p.Status.ContainerStatuses {
		if t := c.State.Terminated; t != nil {
			all = append(all, fmt.Sprintf("%s, exit code %d %s", t.Reason, t.ExitCode, t.Message))
		}
	}
	all = append(all, strings.TrimSpace(p.Status.Reason+" "+p.Status.Message))
	return strings.TrimSpace(strings.Join(all, " "))
}

// connect attaches to all agents and reads the facts of their nodes: an agent that answers sees everything from then on.
func (s *Session) connect(ctx context.Context) error {
	s.OnStep("connect to the agents")
	streams, cancel := context.WithCancelCause(context.WithoutCancel(ctx)) // Close ends them, after the agents
	s.cancel = cancel
	for _, a := range s.agents {
		a.client = s.attach(streams, a)
	}
	for _, a := range s.agents {
		var err error
		if a.facts, err = a.client.Facts(ctx); err != nil {
			if failed := context.Cause(s.failed); failed != nil {
				return failed
			}
			return fmt.Errorf("agent on node %s: %w", a.node.Name, err)
		}
	}
	return nil
}

// attach connects to an agent. If it ends before Close, the session fails.
func (s *Session) attach(ctx context.Context, a *agent) *probe.Client {
	requests, in := io.Pipe()
	out, messages := io.Pipe()
	var errs tail
	go func() {
		err := s.Attach(ctx, s.namespace.Name, a.pod, requests, messages, &errs)
		if err == nil {
			err = io.EOF
		}
		_ = messages.CloseWithError(err) // never fails
		_ = requests.CloseWithError(io.ErrClosedPipe)
	}()
	return probe.NewClient(in, out, func(err error) {
		if text := errs.String(); text != "" {
			err = fmt.Errorf("%w: %s", err, text)
		}
		s.fail(fmt.Errorf("agent on node %s: %w", a.node.Name, err))
	})
}

// tail keeps the last bytes that were written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const most = 2 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-most):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}
