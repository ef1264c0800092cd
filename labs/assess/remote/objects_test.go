package remote

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// An agent may do what probing takes, on any node, and nothing else: it has no token, no other capability, and ends by itself.
func TestAgentPod(t *testing.T) {
	p := agentPod("ns", "probe-0", "a", &Options{Image: "image:tag", TTL: 90 * time.Second, NetAdmin: true})
	assert.Equal(t, "a", p.Spec.NodeName)
	assert.Equal(t, []corev1.Toleration{{Operator: corev1.TolerationOpExists}}, p.Spec.Tolerations)
	assert.True(t, p.Spec.HostNetwork)
	assert.False(t, p.Spec.HostPID)
	assert.False(t, p.Spec.HostIPC)
	assert.False(t, *p.Spec.AutomountServiceAccountToken)
	assert.Empty(t, p.Spec.Volumes)
	assert.Equal(t, corev1.RestartPolicyNever, p.Spec.RestartPolicy)
	assert.EqualValues(t, 90, *p.Spec.ActiveDeadlineSeconds)
	c := p.Spec.Containers[0]
	assert.Equal(t, []string{"/labpod", "probe"}, c.Command)
	assert.True(t, c.Stdin && c.StdinOnce)
	assert.Nil(t, c.SecurityContext.Privileged)
	assert.True(t, *c.SecurityContext.ReadOnlyRootFilesystem)
	assert.False(t, *c.SecurityContext.AllowPrivilegeEscalation)
	assert.Equal(t, &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: []corev1.Capability{"NET_RAW", "NET_ADMIN"}}, c.SecurityContext.Capabilities)

	p = agentPod("ns", "probe-0", "a", &Options{TTL: time.Minute})
	assert.Equal(t, []corev1.Capability{"NET_RAW"}, p.Spec.Containers[0].SecurityContext.Capabilities.Add)
}

// What removes the namespace has a token for that, and no capability.
func TestExpiryObjects(t *testing.T) {
	n := namespaceOf("dsrlab-assess-1", 90*time.Second)
	n.UID = "uid"
	assert.Equal(t, "privileged", n.Labels["pod-security.kubernetes.io/enforce"])
	assert.Equal(t, "1m30s", n.Annotations[ttlAnnotation])
	p := expiryPod(n.Name, "a", &Options{Image: "image:tag", TTL: 90 * time.Second})
	c := p.Spec.Containers[0]
	assert.Equal(t, []string{"/labpod", "expire", "--namespace", "dsrlab-assess-1", "--after", "1m30s", "--service-account", tokenFolder}, c.Command)
	assert.Equal(t, corev1.RestartPolicyOnFailure, p.Spec.RestartPolicy)
	assert.Nil(t, p.Spec.ActiveDeadlineSeconds)
	assert.True(t, *c.SecurityContext.RunAsNonRoot)
	assert.Empty(t, c.SecurityContext.Capabilities.Add)
	assert.Equal(t, expiryAccount(n.Name).Name, p.Spec.ServiceAccountName)
	assert.EqualValues(t, leastToken.Seconds(), *p.Spec.Volumes[0].Projected.Sources[0].ServiceAccountToken.ExpirationSeconds, "the API server grants no shorter one")

	role, binding := expiryRole(n), expiryBinding(n)
	assert.Equal(t, []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"namespaces"}, ResourceNames: []string{"dsrlab-assess-1"}, Verbs: []string{"delete"}}}, role.Rules)
	assert.Equal(t, role.Name, binding.RoleRef.Name)
	assert.Equal(t, []rbacv1.Subject{{Kind: "ServiceAccount", Name: "expiry", Namespace: "dsrlab-assess-1"}}, binding.Subjects)
	for _, owners := range []int{len(role.OwnerReferences), len(binding.OwnerReferences)} {
		require.Equal(t, 1, owners)
	}
	assert.Equal(t, role.OwnerReferences, binding.OwnerReferences)
	assert.EqualValues(t, "uid", role.OwnerReferences[0].UID)
	assert.Equal(t, "Namespace", role.OwnerReferences[0].Kind)
}
