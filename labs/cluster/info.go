package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/dsrlab/dsrlab/internal/bounded"
	"github.com/dsrlab/dsrlab/topologies/objects"
)

// Connect finds a cluster's API server as kubectl does: kubeconfig is a file, or empty for $KUBECONFIG or ~/.kube/config;
// contextName names a context of it, or is empty for the current one. Files are only read.
func Connect(kubeconfig, contextName string) (kubernetes.Interface, error) {
	config, _, err := Config(kubeconfig, contextName)
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

// Config finds a cluster's API server as Connect does, and the name of the context that was used.
func Config(kubeconfig, contextName string) (config *rest.Config, used string, err error) {
	if kubeconfig != "" { // what the library says of a file can't be told from what it says of its content
		if _, err := bounded.ReadFile(kubeconfig, bounded.Document); err != nil {
			return nil, "", fmt.Errorf("find the cluster: %w", err)
		}
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath, rules.MigrationRules = kubeconfig, nil // migration would write
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: contextName})
	config, err = loader.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("find the cluster: %w", err)
	}
	if raw, err := loader.RawConfig(); err == nil && contextName == "" {
		contextName = raw.CurrentContext
	}
	config.QPS, config.Burst, config.UserAgent = 20, 40, "dsrlab"
	return config, contextName, nil
}

// Cluster is what was seen of a cluster.
type Info struct {
	Version string `json:"version"` // of Kubernetes
	// ServiceProxies are what may forward services there: kube-proxy, cilium and dsrd, as far as kube-system has them, or unknown.
	ServiceProxies []string `json:"serviceProxies"`
	Nodes          []Node   `json:"nodes"`
}

const unknownProxy = "unknown"

func inspect(ctx context.Context, client kubernetes.Interface) (Info, error) {
	version, err := client.Discovery().ServerVersion()
	if err != nil {
		return Info{}, fmt.Errorf("ask the cluster's version: %w", err)
	}
	c := Info{Version: version.GitVersion}
	sets, err := client.AppsV1().DaemonSets(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{})
	if err != nil {
		c.ServiceProxies = []string{unknownProxy + " (" + err.Error() + ")"}
		return c, nil
	}
	c.ServiceProxies = proxiesOf(sets.Items)
	return c, nil
}

// proxiesOf are the service proxies among daemon sets.
func proxiesOf(sets []appsv1.DaemonSet) []string {
	var found []string
	for _, name := range []string{"kube-proxy", "cilium", "dsrd"} {
		if slices.ContainsFunc(sets, func(d appsv1.DaemonSet) bool { return isProxy(&d, name) }) {
			found = append(found, name)
		}
	}
	if len(found) == 0 {
		return []string{unknownProxy}
	}
	return found
}

func isProxy(d *appsv1.DaemonSet, name string) bool {
	return d.Status.DesiredNumberScheduled > 0 && (d.Name == name || d.Labels["k8s-app"] == name)
}

// ErrNoAgent says that a cluster has no dsrd.
var ErrNoAgent = errors.New("the cluster has no daemon set dsrd in kube-system that is ready on all its nodes")

// FindAgent is nil on a cluster with dsrd, and ErrNoAgent on one without.
func FindAgent(ctx context.Context, client kubernetes.Interface) error {
	sets, err := client.AppsV1().DaemonSets(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("look for dsrd: %w", err)
	}
	for i := range sets.Items {
		if d := &sets.Items[i]; d.Name == "dsrd" && objects.IsRolledOut(d) {
			return nil
		}
	}
	return ErrNoAgent
}
