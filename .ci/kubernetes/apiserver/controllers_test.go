package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
)

// control runs the controllers that remove what a deleted object owns: those of namespaces and of garbage.
func control(t *testing.T, config *rest.Config) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	client := kubernetes.NewForConfigOrDie(config)
	objects := metadata.NewForConfigOrDie(config)
	shared := informers.NewSharedInformerFactory(client, 0)
	namespaces := namespace.NewNamespaceController(ctx, client, objects, client.Discovery().ServerPreferredNamespacedResources,
		shared.Core().V1().Namespaces(), time.Minute, corev1.FinalizerKubernetes)
	go namespaces.Run(ctx, 2)

	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	started := make(chan struct{})
	garbage, err := garbagecollector.NewGarbageCollector(ctx, client, objects, mapper, garbagecollector.DefaultIgnoredResources(),
		informerfactory.NewInformerFactory(shared, metadatainformer.NewSharedInformerFactory(objects, 0)), started)
	require.NoError(t, err)
	shared.Start(ctx.Done())
	close(started)
	const every = 5 * time.Second
	go garbage.Run(ctx, 2, every)
	go garbage.Sync(ctx, client.Discovery(), every)
}

// everything is each object of the API server, by its kind and name, without what changes by itself: events, leases, and what was written
// about the writing.
func everything(t *testing.T, config *rest.Config) map[string]string {
	t.Helper()
	client := dynamic.NewForConfigOrDie(config)
	lists, err := discovery.NewDiscoveryClientForConfigOrDie(config).ServerPreferredResources()
	require.NoError(t, err)
	all := make(map[string]string)
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		require.NoError(t, err)
		for _, kind := range list.APIResources {
			if kind.Name == "events" || kind.Name == "leases" || !strings.Contains(strings.Join(kind.Verbs, " "), "list") {
				continue
			}
			found, err := client.Resource(version.WithResource(kind.Name)).List(t.Context(), metav1.ListOptions{})
			require.NoError(t, err, kind.Name)
			for i := range found.Items {
				o := &found.Items[i]
				o.SetManagedFields(nil)
				o.SetResourceVersion("")
				text, err := json.Marshal(o)
				require.NoError(t, err)
				all[fmt.Sprintf("%s %s/%s", kind.Name, o.GetNamespace(), o.GetName())] = string(text)
			}
		}
	}
	return all
}

// settled is everything once it does not change any more: an API server makes its own objects after its start.
func settled(t *testing.T, config *rest.Config) map[string]string {
	t.Helper()
	last := everything(t, config)
	require.Eventually(t, func() bool {
		next := everything(t, config)
		same := fmt.Sprint(next) == fmt.Sprint(last)
		last = next
		return same
	}, time.Minute, 2*time.Second)
	return last
}
