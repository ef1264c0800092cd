package remote

import (
	"context"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// right is what a user must be allowed to do, in all namespaces: that of an assessment is made for it.
type right struct {
	group, resource string
	verbs           []string
}

// rights are those without which nothing can be probed.
func rights() []right {
	return []right{
		{"", "nodes", []string{"list"}},
		{"", "namespaces", []string{"create", "get", "list", "delete"}},
		{"", "pods", []string{"create", "list"}},
		{"", "pods/attach", []string{"get", "create"}},
	}
}

// expiryRights are those without which nothing removes the namespace after a kill.
func expiryRights() []right {
	return []right{
		{"", "serviceaccounts", []string{"create"}},
		{"rbac.authorization.k8s.io", "clusterroles", []string{"create", "get", "delete"}},
		{"rbac.authorization.k8s.io", "clusterrolebindings", []string{"create", "get", "delete"}},
	}
}

// checkRights asks the API server what this user may do, before anything is made. That something cannot be probed is a *LackingError; mayExpire reports
// whether what removes the namespace at its TTL can be made.
func (s *Session) checkRights(ctx context.Context) (mayExpire bool, err error) {
	lacking, err := lackingOf(ctx, s.Options.Client, rights())
	if err != nil {
		s.OnStep("what this user may do can't be found out: " + err.Error())
		return true, nil // what is refused then is told when it is tried
	}
	if len(lacking) > 0 {
		return false, &LackingError{What: "this user may not " + strings.Join(lacking, ", "), How: "nothing was made"}
	}
	lacking, err = lackingOf(ctx, s.Options.Client, expiryRights())
	if err == nil && len(lacking) > 0 {
		s.OnStep("this user may not " + strings.Join(lacking, ", ") + ": if this process is killed, an empty namespace stays")
	}
	return len(lacking) == 0, nil
}

// lackingOf are those of the rights, as verb and resource, that this user does not have.
func lackingOf(ctx context.Context, client kubernetes.Interface, all []right) ([]string, error) {
	var lacking []string
	for _, one := range all {
		resource, sub, _ := strings.Cut(one.resource, "/")
		for _, verb := range one.verbs {
			review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
				ResourceAttributes: &authorizationv1.ResourceAttributes{Group: one.group, Resource: resource, Subresource: sub, Verb: verb},
			}}
			answer, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
			if err != nil {
				return nil, err
			}
			if !answer.Status.Allowed {
				lacking = append(lacking, fmt.Sprintf("%s %s", verb, one.resource))
			}
		}
	}
	return lacking, nil
}

// announcement says what is going to be made.
func announcement(namespace string, nodes int, mayExpire bool, o *Options) []string {
	lines := []string{fmt.Sprintf("make namespace %s, and in it %s of image %s, which use the node's network", namespace,
		count(nodes, "a pod on the node", "a pod on each of the %d nodes"), o.Image)}
	for _, c := range capabilities(o.NetAdmin) {
		lines = append(lines, fmt.Sprintf("  with capability %s, %s", c.Name, c.Reason))
	}
	if mayExpire {
		lines = append(lines, fmt.Sprintf("  and a pod that removes the namespace after %v if this process can't, with a cluster role for this one namespace", o.TTL))
	}
	return append(lines, "  all of it is removed at the end")
}

// count is one of two texts by a number; the second one has a verb for the number.
func count(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return fmt.Sprintf(more, n)
}
