package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Close ends the agents and removes all that was made, and waits until it is gone. It may be called again after it has failed.
func (s *Session) Close(ctx context.Context) error {
	s.fail(nil) // from now on an agent that ends is none that failed
	if s.namespace != nil {
		s.OnStep("remove namespace " + s.namespace.Name)
	}
	var agents []io.Closer
	for _, a := range s.agents {
		if a.client != nil {
			agents = append(agents, a.client)
		}
	}
	closeAll(agents)
	if s.cancel != nil {
		s.cancel(nil)
	}
	if s.namespace == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.Timeouts.Remove, fmt.Errorf("not done within %v", s.Timeouts.Remove))
	defer cancel()
	name, api := s.namespace.Name, s.Options.Client
	err := s.remove(ctx, func(ctx context.Context) error {
		return api.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{})
	},
		func(ctx context.Context) error {
			_, err := api.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
			return err
		})
	if err != nil {
		return s.stays(ctx, fmt.Errorf("remove namespace %s (kubectl delete namespace %[1]s does it by hand): %w", name, err))
	}
	if err := s.removeRole(ctx, name); err != nil {
		return err
	}
	s.namespace, s.expires = nil, false
	s.OnLeaves(s.Leaves())
	s.OnStep("removed: the cluster is as it was")
	return nil
}

// removeRole removes the cluster role and its binding, if there are any. The garbage collector does it, too, only later.
func (s *Session) removeRole(ctx context.Context, name string) error {
	if !s.role {
		return nil
	}
	bindings, roles := s.Options.Client.RbacV1().ClusterRoleBindings(), s.Options.Client.RbacV1().ClusterRoles()
	err := errors.Join(
		s.remove(ctx, func(ctx context.Context) error { return bindings.Delete(ctx, name, metav1.DeleteOptions{}) }, func(ctx context.Context) error {
			_, err := bindings.Get(ctx, name, metav1.GetOptions{})
			return err
		}),
		s.remove(ctx, func(ctx context.Context) error { return roles.Delete(ctx, name, metav1.DeleteOptions{}) }, func(ctx context.Context) error {
			_, err := roles.Get(ctx, name, metav1.GetOptions{})
			return err
		}))
	if err != nil {
		return fmt.Errorf("remove cluster role and binding %s (kubectl delete clusterrole,clusterrolebinding %[1]s does it by hand): %w", name, err)
	}
	return nil
}

// stays adds to the error of a namespace that could not be removed what the API server says it waits for, and removes what is outside of
// it. One that is not even going keeps what would remove it at its TTL.
func (s *Session) stays(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.Timeouts.Remove) // the former one is over
	defer cancel()
	n, getErr := s.Options.Client.CoreV1().Namespaces().Get(ctx, s.namespace.Name, metav1.GetOptions{})
	if getErr != nil || n.DeletionTimestamp == nil {
		return err
	}
	for _, c := range n.Status.Conditions {
		if c.Status == corev1.ConditionTrue {
			err = fmt.Errorf("%w; %s: %s", err, c.Type, c.Message)
		}
	}
	return errors.Join(err, s.removeRole(ctx, n.Name))
}

// closeAll closes agents at the same time, as each may be late. What matters of how they end was told by Observe.
func closeAll(agents []io.Closer) {
	var ending sync.WaitGroup
	for _, a := range agents {
		ending.Go(func() { _ = a.Close() })
	}
	ending.Wait()
}

// remove deletes an object, as often as it takes, and waits until it is not found any more.
func (s *Session) remove(ctx context.Context, del, get func(context.Context) error) error {
	return s.poll(ctx, func(ctx context.Context) error {
		err := del(ctx)
		if err == nil || apierrors.IsConflict(err) { // Conflict: it is going already
			err = get(ctx)
		}
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err == nil {
			err = errors.New("it is still there")
		}
		return err
	})
}

// finalError is one that no other try makes good.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

// poll does something until it succeeds. The error when ctx ends is its cause, with the last one of the tries.
func (s *Session) poll(ctx context.Context, try func(context.Context) error) error {
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		var final *finalError
		if errors.As(err, &final) {
			return final.error
		}
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(err, ctx.Err()) {
				return fmt.Errorf("%w: %w", cause, err)
			}
			return context.Cause(ctx)
		case <-time.After(s.Timeouts.Poll):
		}
	}
}

// removeLeftovers removes namespaces of assessments that were killed before they could, once their TTL is over. The time is the API
// server's, by which this session's own namespace was made. What can't be removed is told.
func (s *Session) removeLeftovers(ctx context.Context) {
	api := s.Options.Client.CoreV1().Namespaces()
	list, err := api.List(ctx, metav1.ListOptions{LabelSelector: selector()})
	if err != nil {
		s.OnStep("namespaces of former assessments can't be looked for: " + err.Error())
		return
	}
	for i := range list.Items {
		n := &list.Items[i]
		if n.Name == s.namespace.Name || !strings.HasPrefix(n.Name, namePrefix) || !isLeftOver(n, s.namespace.CreationTimestamp.Time) {
			continue
		}
		s.OnStep("remove namespace " + n.Name + ", which an assessment that was killed has left")
		only := metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(n.UID))}
		if err := api.Delete(ctx, n.Name, only); err != nil && !apierrors.IsNotFound(err) {
			s.OnStep("remove namespace " + n.Name + ": " + err.Error())
		}
	}
}
