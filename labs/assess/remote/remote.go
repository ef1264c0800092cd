// Package remote lets prober look at the network of a Kubernetes cluster through its API server: it has an agent in a short-lived pod on
// each node, and one on this machine, which is the client.
//
// All that it makes is a namespace with these pods, and, where it may, one more pod that removes the namespace at its TTL even if this
// process is killed, with a cluster role for exactly that. All of it is gone after Close. The objects, what is read of the cluster's, and
// the site that prober looks at are pure; Session has the effects.
package remote

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/assess/prober"
	"github.com/dsrlab/dsrlab/labs/workload/probe"
)

// Options say which cluster is looked at, and how.
type Options struct {
	// Client is the way to the API server, and Attach that to the standard streams of its pods.
	Client kubernetes.Interface
	Attach Attach
	// Of names the cluster, as people call it.
	Of string
	// Image has the workload binary /labpod. The nodes must have it, or be able to pull it.
	Image string
	// TTL is how long all that is made may be there: pods end then, and the namespace is removed. Whole seconds, LeastTTL or more.
	TTL time.Duration
	// MaxNodes is how many nodes are probed at most; 0: all.
	MaxNodes int
	// NetAdmin: the agents may read the nodes' nf_tables rules.
	NetAdmin bool
	// Here is the client: ThisMachine.
	Here Here
	// OnStep is called with what is done, before it is done.
	OnStep func(string)
	// OnLeaves is called with what stays if this process ends at once, whenever that changes: what Leaves says.
	OnLeaves func(string)
	// Timeouts are how long the cluster may take.
	Timeouts Timeouts
}

// LeastTTL is the shortest TTL.
const LeastTTL = 30 * time.Second

// Timeouts are how long a cluster may take for something; zero is the default.
type Timeouts struct {
	Pods   time.Duration // from the first pod made to the last one that runs (default 2 min)
	Remove time.Duration // to remove what was made (default 1 min)
	Poll   time.Duration // how often it is asked (default 300 ms)
}

func (t *Timeouts) setDefaults() {
	for value, by := range map[*time.Duration]time.Duration{&t.Pods: 2 * time.Minute, &t.Remove: time.Minute, &t.Poll: 300 * time.Millisecond} {
		if *value == 0 {
			*value = by
		}
	}
}

// Attach connects to the standard streams of a running pod, until its output ends or ctx does. It closes none of them.
type Attach func(ctx context.Context, namespace, pod string, in io.Reader, out, errs io.Writer) error

// LackingError says what the cluster, its nodes, this machine or its user lack.
type LackingError struct {
	What, How string
	Err       error // nil if there is none
}

func (e *LackingError) Error() string {
	text := e.What
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.How != "" {
		text += " (" + e.How + ")"
	}
	return text
}

func (e *LackingError) Unwrap() error { return e.Err }

// Session is an assessment of a cluster under way.
type Session struct {
	Options
	seen      *snapshot
	namespace *corev1.Namespace // as the API server made it; nil before
	role      bool              // whether a cluster role was made
	expires   bool              // whether what removes the namespace was seen to run
	agents    []*agent
	cancel    context.CancelCauseFunc // ends the connections; nil before there are any
	fail      context.CancelCauseFunc // ends Observe; called if an agent ends
	failed    context.Context
	notes     []assess.Unread
}

// agent is the one on a node.
type agent struct {
	node   *corev1.Node
	pod    string
	client *probe.Client
	facts  *probe.Facts
}

// Open looks at the cluster, makes a namespace with the agents and connects to them. When it fails, what it has made is removed.
func Open(ctx context.Context, o Options) (*Session, error) {
	o.Timeouts.setDefaults()
	if o.OnStep == nil {
		o.OnStep = func(string) {}
	}
	if o.OnLeaves == nil {
		o.OnLeaves = func(string) {}
	}
	s := &Session{Options: o}
	s.failed, s.fail = context.WithCancelCause(context.WithoutCancel(ctx))
	var err error
	if s.seen, err = look(ctx, o.Client, o.MaxNodes); err != nil {
		return nil, err
	}
	for _, note := range s.seen.leftOut {
		s.OnStep(note)
	}
	if err := s.Here.check(s.seen.nodes, s.seen.all); err != nil {
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *Session) open(ctx context.Context) error {
	mayExpire, err := s.checkRights(ctx)
	if err != nil {
		return err
	}
	name := namePrefix + randomText(4)
	for _, line := range announcement(name, len(s.seen.nodes), mayExpire, &s.Options) {
		s.OnStep(line)
	}
	// It may be there before the API server has said so.
	s.OnLeaves(leavesNamespace(name))
	err = s.makeNamespace(ctx, name)
	s.OnLeaves(s.Leaves())
	if err != nil {
		return fmt.Errorf("make namespace %s: %w", name, err)
	}
	if mayExpire {
		if err := s.makeExpiry(ctx); err != nil {
			return err
		}
	}
	s.removeLeftovers(ctx)
	if err := s.makeAgents(ctx); err != nil {
		return err
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	return s.checkReach(ctx)
}

// makeNamespace makes the namespace. Where it may have been made without an answer it is the session's, and removed by Close.
func (s *Session) makeNamespace(ctx context.Context, name string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	api := s.Options.Client.CoreV1().Namespaces()
	want := namespaceOf(name, s.TTL)
	mark := randomText(16)
	want.Annotations[markAnnotation] = mark
	// An interrupt is heard after it: else nobody would know whether it was made.
	made, err := api.Create(context.WithoutCancel(ctx), want, metav1.CreateOptions{})
	switch {
	case err == nil:
		s.namespace = made
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsNotFound(err):
	case apierrors.IsAlreadyExists(err): // by a try whose answer was lost, or by somebody else
		there, getErr := api.Get(context.WithoutCancel(ctx), name, metav1.GetOptions{})
		if getErr != nil {
			return errors.Join(err, getErr)
		}
		if there.Annotations[markAnnotation] == mark {
			s.namespace, err = there, nil
		}
	default:
		s.namespace = want
	}
	return err
}

// randomText is a number of random bytes in hexadecimal.
func randomText(bytes int) string {
	random := make([]byte, bytes)
	_, _ = rand.Read(random) // never fails
	return hex.EncodeToString(random)
}

// makeExpiry makes what removes the namespace at its TTL.
func (s *Session) makeExpiry(ctx context.Context) error {
	n, client := s.namespace, s.Options.Client
	s.role = true
	if _, err := client.RbacV1().ClusterRoles().Create(ctx, expiryRole(n), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make cluster role %s: %w", n.Name, err)
	}
	if _, err := client.RbacV1().ClusterRoleBindings().Create(ctx, expiryBinding(n), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make cluster role binding %s: %w", n.Name, err)
	}
	if _, err := client.CoreV1().ServiceAccounts(n.Name).Create(ctx, expiryAccount(n.Name), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make service account %s: %w", expiry, err)
	}
	return s.makePod(ctx, expiryPod(n.Name, s.seen.nodes[0].Name, &s.Options))
}

// makePod makes a pod. That admission refuses it is a *LackingError.
func (s *Session) makePod(ctx context.Context, p *corev1.Pod) error {
	_, err := s.Options.Client.CoreV1().Pods(p.Namespace).Create(ctx, p, metav1.CreateOptions{})
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
		return &LackingError{
			What: fmt.Sprintf("the cluster refuses pod %s of node %s", p.Name, p.Spec.NodeName), Err: err,
			How: "an admission policy must let it have hostNetwork and its capabilities in namespaces that begin with " + namePrefix,
		}
	}
	if err != nil {
		return fmt.Errorf("make pod %s of node %s: %w", p.Name, p.Spec.NodeName, err)
	}
	return nil
}

func (s *Session) makeAgents(ctx context.Context) error {
	for i := range s.seen.nodes {
		a := &agent{node: &s.seen.nodes[i], pod: agentName(i)}
		if err := s.makePod(ctx, agentPod(s.namespace.Name, a.pod, a.node.Name, &s.Options)); err != nil {
			return err
		}
		s.agents = append(s.agents, a)
	}
	return s.awaitAgents(ctx)
}

// Observe probes the cluster's network. An agent that ends meanwhile is an error that names its node.
func (s *Session) Observe(ctx context.Context, o prober.Options) (*assess.Observations, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(s.failed, func() { cancel(context.Cause(s.failed)) })
	defer stop()
	site, err := s.site()
	if err != nil {
		return nil, err
	}
	observed, err := prober.Observe(ctx, site, o)
	if failed := context.Cause(s.failed); failed != nil { // it is the cause of whatever else went wrong
		return nil, failed
	}
	if err != nil {
		return nil, err
	}
	s.describe(observed)
	return observed, nil
}

// Namespace is the one that was made, as long as it may be there; else an empty string.
func (s *Session) Namespace() string {
	if s.namespace == nil {
		return ""
	}
	return s.namespace.Name
}

// Leaves says what stays if this process ends without Close.
func (s *Session) Leaves() string {
	switch {
	case s.namespace == nil:
		return "nothing"
	case s.expires:
		return fmt.Sprintf("namespace %s, which removes itself after %v", s.Namespace(), s.TTL)
	}
	return leavesNamespace(s.Namespace())
}

func leavesNamespace(name string) string {
	return fmt.Sprintf("namespace %s, whose pods end by themselves: kubectl delete namespace %[1]s", name)
}
