package cluster

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/objects"
)

const (
	// managedBy labels namespaces of dsrlab: kubectl get namespaces -l app.kubernetes.io/managed-by=dsrlab.
	managedByLabel = "app.kubernetes.io/managed-by"
	managedBy      = "dsrlab"
	// variantAnnotation names the variant that a service is for.
	variantAnnotation = "dsrlab.dev/variant"
	// nobody is the user that pods run as.
	nobody = 65534
)

func namespaceOf(name, lab string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{managedByLabel: managedBy}, Annotations: map[string]string{"dsrlab.dev/lab": lab},
	}}
}

// podOf is a pod of the topology on the machine that plays its node. It needs no privilege: it can be had in a namespace whose
// Pod Security Standard is "restricted".
func podOf(p *topologies.Pod, namespace, image, hostname string) *corev1.Pod {
	made := objects.Pod(p, namespace, image)
	yes, no, user := true, false, int64(nobody)
	made.Spec.NodeSelector = map[string]string{corev1.LabelHostname: hostname}
	made.Spec.SecurityContext = &corev1.PodSecurityContext{
		RunAsNonRoot: &yes, RunAsUser: &user, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	c := &made.Spec.Containers[0]
	c.ImagePullPolicy = corev1.PullIfNotPresent
	c.SecurityContext = &corev1.SecurityContext{
		AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
	return made
}

// serviceOf is a service of the topology as a variant has it. Addresses and ports of the cluster are the cluster's choice.
func serviceOf(s *corev1.Service, name, namespace string, v *testbed.Variant, pods []topologies.Pod) *corev1.Service {
	made := objects.Service(s, namespace, pods)
	made.Name = name
	made.Annotations = map[string]string{variantAnnotation: v.Name}
	for k, value := range s.Annotations {
		made.Annotations[k] = value
	}
	spec := &made.Spec
	spec.LoadBalancerIP, spec.ExternalIPs, spec.HealthCheckNodePort, spec.IPFamilies, spec.IPFamilyPolicy = "", nil, 0, nil, nil
	for i := range spec.Ports {
		spec.Ports[i].NodePort = 0
	}
	if v.Policy != "" {
		spec.ExternalTrafficPolicy = v.Policy
	}
	if _, own := s.Annotations[services.ModeAnnotation]; v.DataPath == DSRLab && !own {
		made.Annotations[services.ModeAnnotation] = string(v.Mode)
	}
	return made
}

// serviceName is that of a service for the variant with a number: variants have services of their own, so that no service changes
// while it is measured.
func serviceName(service string, variant int) string { return fmt.Sprintf("%s-%d", service, variant+1) }
