package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/labs/obstacle"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// assessed is a cluster with an API server, its controllers, and kubelets on the nodes of a testbed: dsrlab knows nothing of it but a kubeconfig.
type assessed struct {
	*testbed.Testbed
	config     *rest.Config
	client     *kubernetes.Clientset
	kubelets   map[string]*kubelet
	dsrlab     string
	kubeconfig string
}

const assessImage = "dsrlab.dev/dsrlab:test"

func newAssessed(t *testing.T) *assessed {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	folder := t.TempDir()
	build := exec.Command("go", "build", "-o", folder, "./cmd/dsrlab", "./cmd/labpod")
	build.Dir = "../../.."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	topology, err := topologies.Lookup("would-it-work")
	require.NoError(t, err)
	plan, err := topologies.PlanOf(topology)
	require.NoError(t, err)
	tb, _, err := testbed.Up(t.Context(), plan, testbed.Options{StateDir: t.TempDir(), Name: "assessed", LabPod: filepath.Join(folder, "labpod")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tb.Down(context.Background())) })

	server := serve(t, "--service-cluster-ip-range=10.96.0.0/12,fd00:96::/108", "--authorization-mode=RBAC")
	control(t, server.ClientConfig)
	a := &assessed{Testbed: tb, config: server.ClientConfig, client: clientOf(t, server.ClientConfig), kubelets: map[string]*kubelet{}, dsrlab: filepath.Join(folder, "dsrlab")}
	for _, n := range tb.ClusterNodes() {
		k := &kubelet{t: t, client: a.client, network: tb.Network(), node: n.Name, image: assessImage, labpod: filepath.Join(folder, "labpod"),
			ca: server.ServerOpts.SecureServing.ServerCert.CertKey.CertFile, folder: t.TempDir()}
		k.run()
		a.kubelets[n.Name] = k
		a.open(t, n.Name, "127.0.0.1:"+apiPort) // the API server's service, as pods see it
	}
	gateway := net.JoinHostPort(tb.ClusterNodes()[0].Gateways[0].String(), apiPort)
	a.open(t, netns.Fabric, gateway)
	a.create(t)
	a.kubeconfig = kubeconfig(t, a.user(t), gateway)
	return a
}

// user is one that may do what labs/assess/README.md says that it must, and nothing else.
func (a *assessed) user(t *testing.T) *rest.Config {
	t.Helper()
	const name = "assessor"
	text, err := os.ReadFile("../../../labs/assess/README.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n### What the user must be allowed\n")
	require.True(t, found)
	_, after, found := strings.Cut(section, "```yaml\n")
	require.True(t, found)
	document, _, _ := strings.Cut(after, "```")
	var role rbacv1.ClusterRole
	require.NoError(t, yaml.UnmarshalStrict([]byte(document), &role))
	ctx := t.Context()
	_, err = a.client.RbacV1().ClusterRoles().Create(ctx, &role, metav1.CreateOptions{})
	require.NoError(t, err)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}}
	_, err = a.client.CoreV1().ServiceAccounts("default").Create(ctx, account, metav1.CreateOptions{})
	require.NoError(t, err)
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: "default"}},
	}
	_, err = a.client.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{})
	require.NoError(t, err)
	token, err := a.client.CoreV1().ServiceAccounts("default").CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(t, err)
	config := rest.CopyConfig(a.config)
	config.BearerToken = token.Status.Token
	return config
}

// open opens a way from a place of the testbed to the API server.
func (a *assessed) open(t *testing.T, place, address string) {
	t.Helper()
	host, err := apiHost(a.config.Host)
	require.NoError(t, err)
	d := &door{to: host, listen: func() (l net.Listener, err error) {
		err = a.Network().Do(place, func() error {
			l, err = net.Listen("tcp", address)
			return err
		})
		return l, err
	}}
	d.Open(t)
	t.Cleanup(d.Shut)
}

// create makes the plan's nodes and services objects.
func (a *assessed) create(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	for _, n := range a.ClusterNodes() {
		node, err := a.client.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name}}, metav1.CreateOptions{})
		require.NoError(t, err)
		node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "127.0.0.1"}} // where its kubelet is
		for _, address := range n.Addresses {
			node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: address.Addr().String()})
		}
		node.Status.DaemonEndpoints.KubeletEndpoint.Port = a.kubelets[n.Name].port()
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		_, err = a.client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{})
		require.NoError(t, err)
	}
	for _, service := range a.Plan().Services {
		status := service.Status
		service.Spec.ClusterIP, service.Spec.ClusterIPs, service.Spec.LoadBalancerIP = "", nil, ""
		made, err := a.client.CoreV1().Services("default").Create(ctx, &service, metav1.CreateOptions{})
		require.NoError(t, err)
		made.Status = status
		_, err = a.client.CoreV1().Services("default").UpdateStatus(ctx, made, metav1.UpdateOptions{})
		require.NoError(t, err)
	}
	for _, slice := range a.Plan().EndpointSlices {
		if slice.AddressType == discoveryv1.AddressTypeIPv4 || slice.AddressType == discoveryv1.AddressTypeIPv6 {
			_, err := a.client.DiscoveryV1().EndpointSlices("default").Create(ctx, &slice, metav1.CreateOptions{})
			require.NoError(t, err)
		}
	}
}

// command is dsrlab assess on the client's machine. Step is called once when it says that it begins with something; then is what that does.
func (a *assessed) command(t *testing.T, step string, then func(*os.Process), args ...string) (code int, out, stderr string) {
	t.Helper()
	var stdout, errs labtest.Output
	cmd := exec.Command(a.dsrlab, append([]string{"assess", "--kubeconfig", a.kubeconfig, "--image", assessImage, "-o", "json"}, args...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &errs
	require.NoError(t, a.Network().Do("client", cmd.Start))
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if then != nil {
		require.Eventually(t, func() bool { return strings.Contains(errs.String(), step) || cmd.ProcessState != nil }, 2*time.Minute, 5*time.Millisecond, "%s", &errs)
		then(cmd.Process)
	}
	select {
	case <-ended:
	case <-time.After(4 * time.Minute):
		_ = cmd.Process.Kill()
		t.Fatalf("it does not end: %s", &errs)
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), errs.String()
}

// causesOf are those of the findings of a report in JSON.
func causesOf(t *testing.T, out string) (all []string) {
	t.Helper()
	var r assess.Report
	require.NoError(t, json.Unmarshal([]byte(out), &r), out)
	for _, f := range r.Findings {
		all = append(all, fmt.Sprint(f.Causes))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// assertAsBefore checks that all objects are as they were.
func (a *assessed) assertAsBefore(t *testing.T, before map[string]string) {
	t.Helper()
	after := everything(t, a.config)
	for name, object := range after {
		if before[name] != object {
			t.Errorf("%s: was %q, is %q", name, before[name], object)
		}
	}
	for name := range before {
		assert.Contains(t, after, name)
	}
}

// namespaces are those of assessments.
func (a *assessed) namespaces(t *testing.T) []corev1.Namespace {
	t.Helper()
	list, err := a.client.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=assess"})
	require.NoError(t, err)
	return list.Items
}

// TestAssess: dsrlab assess finds the truth about the network of a cluster that it knows by a kubeconfig only, and leaves the cluster as it
// was, however it ends.
func TestAssess(t *testing.T) {
	a := newAssessed(t)
	before := settled(t, a.config)
	const brief, probing = "--idle=50ms", "send between nodes"
	t.Run("healthy", func(t *testing.T) {
		begun := time.Now()
		code, out, stderr := a.command(t, "", nil, brief)
		require.Equal(t, 0, code, stderr)
		t.Log("took", time.Since(begun).Round(time.Second)) // of this machine
		assert.Empty(t, causesOf(t, out))
		assert.Contains(t, stderr, "make namespace dsrlab-assess-")
		assert.Contains(t, stderr, "removed: the cluster is as it was")
		a.assertAsBefore(t, before)
	})
	for name, cause := range map[string]assess.Cause{"source-check": assess.SourceCheck, "half-open-firewall": assess.StatefulFirewall, "path-mtu": assess.MTUTooSmall} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { require.NoError(t, obstacle.Set(context.WithoutCancel(t.Context()), a.Testbed)) })
			require.NoError(t, obstacle.Set(t.Context(), a.Testbed, name))
			code, out, stderr := a.command(t, "", nil, brief)
			require.Equal(t, 1, code, stderr)
			assert.Equal(t, []string{fmt.Sprintf("[%s]", cause)}, causesOf(t, out))
			a.assertAsBefore(t, before)
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		for _, step := range []string{"make namespace", "wait for", probing} {
			code, out, stderr := a.command(t, step, func(p *os.Process) { require.NoError(t, p.Signal(syscall.SIGINT)) }, brief)
			assert.Equal(t, 130, code, stderr)
			assert.Empty(t, out)
			a.assertAsBefore(t, before)
		}
	})
	t.Run("an agent is killed", func(t *testing.T) {
		code, out, stderr := a.command(t, probing, func(*os.Process) { assert.True(t, a.kubelets["worker-1"].kill("probe-")) }, brief)
		assert.Equal(t, 4, code, stderr)
		assert.Empty(t, out)
		assert.Contains(t, stderr, "dsrlab: agent on node worker-1: ")
		a.assertAsBefore(t, before)
	})
	t.Run("image", func(t *testing.T) {
		code, out, stderr := a.command(t, "", nil, brief, "--image", "example.com/none:1")
		assert.Equal(t, 3, code, stderr)
		assert.Empty(t, out)
		assert.Contains(t, stderr, "can't get the image example.com/none:1 (ErrImagePull failed to resolve reference")
		a.assertAsBefore(t, before)
	})
	t.Run("killed", func(t *testing.T) { a.killed(t, before) })
	t.Run("no service", func(t *testing.T) { // as on a cluster that is new
		require.NoError(t, a.client.CoreV1().Services("default").Delete(t.Context(), a.Plan().Services[0].Name, metav1.DeleteOptions{}))
		code, out, stderr := a.command(t, "", nil, brief)
		require.Equal(t, 0, code, stderr)
		assert.Empty(t, causesOf(t, out))

		t.Cleanup(func() { require.NoError(t, obstacle.Set(context.WithoutCancel(t.Context()), a.Testbed)) })
		require.NoError(t, obstacle.Set(t.Context(), a.Testbed, "source-check"))
		code, out, stderr = a.command(t, "", nil, brief)
		require.Equal(t, 1, code, stderr)
		assert.Equal(t, []string{fmt.Sprintf("[%s]", assess.SourceCheck)}, causesOf(t, out))
	})
}

// killed: after SIGKILL the agents end by themselves, and all else is gone after the TTL.
func (a *assessed) killed(t *testing.T, before map[string]string) {
	code, _, stderr := a.command(t, "send between nodes", func(p *os.Process) { require.NoError(t, p.Kill()) }, "--idle=10s", "--ttl=1m")
	require.Equal(t, -1, code, stderr)
	left := a.namespaces(t)
	require.Len(t, left, 1)
	require.Eventually(t, func() bool {
		pods, err := a.client.CoreV1().Pods(left[0].Name).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		return !slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool { return p.Name != "expiry" && p.Status.Phase == corev1.PodRunning })
	}, time.Minute, 50*time.Millisecond, "agents end with their input")
	require.Eventually(t, func() bool { return len(a.namespaces(t)) == 0 }, 2*time.Minute, 200*time.Millisecond, "the namespace is removed at its TTL")
	require.Eventually(t, func() bool {
		_, err := a.client.RbacV1().ClusterRoles().Get(t.Context(), left[0].Name, metav1.GetOptions{})
		return err != nil
	}, time.Minute, 200*time.Millisecond, "and its cluster role with it")
	require.Eventually(t, func() bool { return len(everything(t, a.config)) == len(before) }, time.Minute, time.Second)
	a.assertAsBefore(t, before)
}
