package cluster

import (
	"encoding/json"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/labtest"
)

// expose makes the topology's service one of the cluster, by IPv4. Its VIP is routed to nodes, and given by nobody else.
func (c *cluster) expose(t *testing.T) {
	t.Helper()
	services := c.api.CoreV1().Services(metav1.NamespaceDefault)
	planned := &c.Plan().Services[0]
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: planned.Name}}
	service.Spec.Type, service.Spec.Ports, service.Spec.Selector = corev1.ServiceTypeLoadBalancer, planned.Spec.Ports, planned.Spec.Selector
	made, err := services.Create(t.Context(), service, metav1.CreateOptions{})
	require.NoError(t, err)
	made.Status.LoadBalancer.Ingress = planned.Status.LoadBalancer.Ingress[:1]
	_, err = services.UpdateStatus(t.Context(), made, metav1.UpdateOptions{})
	require.NoError(t, err)
}

// assess probes the cluster, by nothing but a kubeconfig: it finds nothing in the way, says what forwards services, and leaves all objects
// as they were, also where it is interrupted or killed.
func (c *cluster) assess(t *testing.T, proxy string) {
	t.Helper()
	c.expose(t)
	before := c.objects(t)
	args := []string{"assess", "--kubeconfig", c.admin, "--idle", "1s", "-o", "json"}
	stdout, stderr, code := c.dsrlabCommand(t, args...)
	require.Zero(t, code, "%s%s", stdout, stderr)
	var r assess.Report
	require.NoError(t, json.Unmarshal([]byte(stdout), &r), stdout)
	assert.Equal(t, assess.Works, r.Verdict)
	assert.Empty(t, r.Findings)
	assert.Equal(t, []string{proxy}, r.Proxies)
	assert.Equal(t, before, c.objects(t))

	assert.Equal(t, 130, c.signal(t, syscall.SIGINT, args...))
	assert.Equal(t, before, c.objects(t))
	assert.Equal(t, -1, c.signal(t, syscall.SIGKILL, append(args, "--ttl", "1m")...))
	assert.NotEqual(t, before, c.objects(t))
	require.Eventually(t, func() bool { return len(c.objects(t)) == len(before) }, 3*time.Minute, time.Second)
	assert.Equal(t, before, c.objects(t))
}

// signal runs dsrlab, and sends it a signal while it probes. It returns the exit code.
func (c *cluster) signal(t *testing.T, s syscall.Signal, args ...string) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.programs.dsrlab, args...)
	var said labtest.Output
	cmd.Stderr = &said
	require.NoError(t, c.Network().Do(client, cmd.Start))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	require.Eventually(t, func() bool { return strings.Contains(said.String(), "send between nodes") }, 2*time.Minute, 10*time.Millisecond, "%s", &said)
	require.NoError(t, cmd.Process.Signal(s))
	<-ended
	return cmd.ProcessState.ExitCode()
}
