package kind

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

const (
	controlPlane = "dsrlab-talk-control-plane"
	// overlay is where dsrlab leaves what it applied (labs/testbed/deploy.go).
	overlay = "/kind/dsrlab"
)

// pools gives the agents a pool of one address in the nodes' network, and the rights of the components pools and l2. The older of two
// services gets the address, and the client reaches it by ARP; the other is told why it has none.
func (b *bench) pools(t *testing.T, client kubernetes.Interface) {
	at := b.clientAddress(t)
	vip := freeOf(at)
	b.configurePool(t, client, vip)

	create := func(name string) {
		service := &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.ServiceSpec{
				Type: corev1.ServiceTypeLoadBalancer, Selector: map[string]string{"app": "tcp-echo"},
				Ports: []corev1.ServicePort{{Port: 8080, TargetPort: intstr.FromInt32(8080)}},
			},
		}
		_, err := client.CoreV1().Services("default").Create(t.Context(), service, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	create("older")
	require.Eventually(t, func() bool {
		s, err := client.CoreV1().Services("default").Get(t.Context(), "older", metav1.GetOptions{})
		return err == nil && len(s.Status.LoadBalancer.Ingress) == 1 && s.Status.LoadBalancer.Ingress[0].IP == vip.String()
	}, time.Minute, time.Second, "the older service gets %s", vip)
	create("younger")
	assert.Eventually(t, func() bool {
		events, err := client.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=younger"})
		return err == nil && len(events.Items) > 0
	}, time.Minute, time.Second, "the younger one is told")
	younger, err := client.CoreV1().Services("default").Get(t.Context(), "younger", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Empty(t, younger.Status.LoadBalancer.Ingress)

	var seen string
	require.Eventually(t, func() bool {
		seen, err = b.run(t.Context(), "exec", "client", "--", "curl", "--silent", "--show-error", "--max-time", "2", "http://"+vip.String()+":8080/")
		return err == nil
	}, 30*time.Second, time.Second, "%s is announced", vip)
	assert.Contains(t, seen, at.Addr().String(), "the pod sees the client")
	assert.Contains(t, b.must(t, "exec", "client", "--", "ip", "neigh", "show", "to", vip.String()), "lladdr", "by ARP")
}

// clientAddress is the client's IPv4 address with its network.
func (b *bench) clientAddress(t *testing.T) netip.Prefix {
	t.Helper()
	out := b.must(t, "exec", "client", "--", "sh", "-c", "ip -o -4 addr show dev eth0 | awk '{print $4}'")
	return netip.MustParsePrefix(strings.TrimSpace(out))
}

// freeOf is an address of a network that is far from both ends, where engine and fabric take theirs.
func freeOf(network netip.Prefix) netip.Addr {
	bytes := network.Masked().Addr().As4()
	bytes[3] |= 200
	return netip.AddrFrom4(bytes)
}

// configurePool applies the manifests anew, as a user would: with the components, and a configuration that has a pool.
func (b *bench) configurePool(t *testing.T, client kubernetes.Interface, vip netip.Addr) {
	t.Helper()
	config, err := client.CoreV1().ConfigMaps("kube-system").Get(t.Context(), "dsrd", metav1.GetOptions{})
	require.NoError(t, err)
	text := strings.Replace(config.Data["config.yaml"], "  mode: dsr\n", "  mode: dsr\n  pools: [{name: one, cidrs: ["+vip.String()+"/32]}]\n", 1)
	patch, err := yaml.Marshal(corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: "dsrd", Namespace: "kube-system"},
		Data:       map[string]string{"config.yaml": text + "announce: {mode: l2}\n"},
	})
	require.NoError(t, err)
	cmd := exec.Command("docker", "exec", "-i", controlPlane, "sh", "-ec", `cd `+overlay+`
cat > pool.yaml
printf -- '- path: pool.yaml\ncomponents: [base/pools, base/l2]\n' >> kustomization.yaml
export KUBECONFIG=/etc/kubernetes/admin.conf
kubectl apply -k .
kubectl -n kube-system rollout restart daemonset/dsrd
kubectl -n kube-system rollout status daemonset/dsrd --timeout 90s`)
	cmd.Stdin = strings.NewReader(string(patch))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}
