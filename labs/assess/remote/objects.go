package remote

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

const (
	// managedBy labels all objects of dsrlab, and purpose those of this package among them.
	managedByLabel, managedBy = "app.kubernetes.io/managed-by", "dsrlab"
	purposeLabel, purpose     = "app.kubernetes.io/component", "assess"
	// ttlAnnotation is how long after its creation a namespace is left over, as a Go duration.
	ttlAnnotation = "dsrlab.dev/ttl"
	// markAnnotation is a random value by which an assessment knows its namespace.
	markAnnotation = "dsrlab.dev/mark"
	// namePrefix begins the names of namespaces and cluster roles.
	namePrefix = "dsrlab-assess-"
	// expiry names what removes the namespace at its TTL.
	expiry = "expiry"
	// agentContainer is the only container of a pod.
	agentContainer = "probe"
	// nobody is the user that the pod runs as that needs no capability.
	nobody = 65534
)

// capabilityReason is a capability of the agents, and what it is for.
type capabilityReason struct {
	Name   corev1.Capability
	Reason string
}

// capabilities are those of the agents; all others are dropped.
func capabilities(netAdmin bool) []capabilityReason {
	all := []capabilityReason{{"NET_RAW", "to send and see single packets by packet sockets"}}
	if netAdmin {
		all = append(all, capabilityReason{"NET_ADMIN", "to read the node's nf_tables rules, which the kernel lists to nobody else; nothing is changed"})
	}
	return all
}

func objectLabels() map[string]string {
	return map[string]string{managedByLabel: managedBy, purposeLabel: purpose}
}

// selector selects the namespaces of all assessments.
func selector() string { return labels.SelectorFromSet(objectLabels()).String() }

// namespaceOf is the namespace of an assessment. Pods in it may use their node's network.
func namespaceOf(name string, ttl time.Duration) *corev1.Namespace {
	made := objectLabels()
	made["pod-security.kubernetes.io/enforce"] = "privileged"
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: made, Annotations: map[string]string{ttlAnnotation: ttl.String()}}}
}

// isLeftOver reports whether the namespace is one of an assessment that was over at a time. Both times are the API server's.
func isLeftOver(n *corev1.Namespace, now time.Time) bool {
	ttl, err := time.ParseDuration(n.Annotations[ttlAnnotation])
	return err == nil && n.DeletionTimestamp == nil && now.After(n.CreationTimestamp.Add(ttl))
}

// agentName is the name of the agent's pod on the node with a number: names of nodes may be longer than those of pods.
func agentName(node int) string { return fmt.Sprintf("probe-%d", node) }

// agentPod is the agent on a node. It ends with its input, and at the TTL. It uses the node's network and changes nothing of it.
func agentPod(namespace, name, node string, o *Options) *corev1.Pod {
	p := podOf(namespace, name, node, o.Image, "probe")
	p.Spec.RestartPolicy = corev1.RestartPolicyNever
	seconds := int64(o.TTL.Seconds())
	p.Spec.ActiveDeadlineSeconds = &seconds
	c := &p.Spec.Containers[0]
	c.Stdin, c.StdinOnce = true, true
	root := int64(0) // capabilities are effective for root only
	c.SecurityContext.RunAsUser = &root
	for _, one := range capabilities(o.NetAdmin) {
		c.SecurityContext.Capabilities.Add = append(c.SecurityContext.Capabilities.Add, one.Name)
	}
	return p
}

// podOf is a pod on a node that runs a command of labpod, without any right on the node or the cluster. It is put on its node directly,
// whatever taints that has.
func podOf(namespace, name, node, image string, command ...string) *corev1.Pod {
	yes, no, grace := true, false, int64(1)
	quantities := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi")}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: objectLabels()},
		Spec: corev1.PodSpec{
			NodeName: node, HostNetwork: true, DNSPolicy: corev1.DNSDefault, EnableServiceLinks: &no, AutomountServiceAccountToken: &no,
			TerminationGracePeriodSeconds: &grace,
			Tolerations:                   []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			Containers: []corev1.Container{{
				Name: agentContainer, Image: image, ImagePullPolicy: corev1.PullIfNotPresent, Command: append([]string{"/labpod"}, command...),
				Resources: corev1.ResourceRequirements{Requests: quantities,
					Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")}},
				TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
					SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
				},
			}},
		},
	}
}

// tokenFolder is where the pod that removes the namespace has its service account.
const tokenFolder = "/var/run/secrets/dsrlab"

// leastToken is the shortest lifetime of a token that the API server grants.
const leastToken = 10 * time.Minute

// expiryPod is the pod that removes its namespace, and so itself, at the TTL. It uses the node's network, so that neither network policies
// nor a broken pod network keep it from the API server.
func expiryPod(namespace, node string, o *Options) *corev1.Pod {
	p := podOf(namespace, expiry, node, o.Image, "expire", "--namespace", namespace, "--after", o.TTL.String(), "--service-account", tokenFolder)
	p.Spec.RestartPolicy, p.Spec.ServiceAccountName = corev1.RestartPolicyOnFailure, expiry
	yes, user, seconds := true, int64(nobody), int64(max(2*o.TTL, leastToken).Seconds())
	c := &p.Spec.Containers[0]
	c.SecurityContext.RunAsNonRoot, c.SecurityContext.RunAsUser = &yes, &user
	p.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroup: &user} // who may read the token
	c.VolumeMounts = []corev1.VolumeMount{{Name: "service-account", MountPath: tokenFolder, ReadOnly: true}}
	p.Spec.Volumes = []corev1.Volume{{Name: "service-account", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: &seconds}},
			{ConfigMap: &corev1.ConfigMapProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}, Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
			}},
		},
	}}}}
	return p
}

func expiryAccount(namespace string) *corev1.ServiceAccount {
	no := false
	return &corev1.ServiceAccount{
		ObjectMeta:                   metav1.ObjectMeta{Name: expiry, Namespace: namespace, Labels: objectLabels()},
		AutomountServiceAccountToken: &no,
	}
}

// expiryRole allows to remove one namespace. It and its binding belong to the namespace, with which the garbage collector removes them.
func expiryRole(n *corev1.Namespace) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{ObjectMeta: ownedBy(n), Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"namespaces"}, ResourceNames: []string{n.Name}, Verbs: []string{"delete"}},
	}}
}

func expiryBinding(n *corev1.Namespace) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		ObjectMeta: ownedBy(n), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: n.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: expiry, Namespace: n.Name}},
	}
}

// ownedBy is what is known about an object of the cluster that belongs to a namespace and has its name.
func ownedBy(n *corev1.Namespace) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: n.Name, Labels: objectLabels(), OwnerReferences: []metav1.OwnerReference{
		{APIVersion: "v1", Kind: "Namespace", Name: n.Name, UID: n.UID},
	}}
}
