package cluster

import (
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/kube/manifests"
)

// server is the API server's address, as kubeconfigs have it.
func (c *cluster) server() string {
	return "https://" + netip.AddrPortFrom(c.apiAddress(), apiPort).String()
}

// kubectl runs kubectl as an administrator, in the client's namespace.
func (c *cluster) kubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.k8s, append([]string{"kubectl", "--kubeconfig", c.admin}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err := c.Network().Do(client, cmd.Start)
	require.NoError(t, err)
	require.NoError(t, cmd.Wait(), "kubectl %v: %s", args, &out)
	return out.String()
}

// installKubeProxy lets kube-proxy serve services.
func (c *cluster) installKubeProxy(t *testing.T) {
	t.Helper()
	manifest, err := os.ReadFile("testdata/kube-proxy.yaml")
	require.NoError(t, err)
	c.kubectl(t, strings.NewReplacer("$SERVER", c.server(), "$PROGRAMS", filepath.Dir(c.k8s)).Replace(string(manifest)), "apply", "-f", "-")
	c.rollOut(t, "kube-proxy")
}

// installDSRD lets dsrd serve services, and give pods their network.
func (c *cluster) installDSRD(t *testing.T) {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(folder, "base"), manifests.Files))
	overlay, err := os.ReadFile("testdata/dsrd.yaml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(strings.ReplaceAll(string(overlay), "$ADDRESS", c.apiAddress().String())), 0o600))
	config := filepath.Join(folder, "base", "configmap.yaml")
	data, err := fs.ReadFile(manifests.Files, "configmap.yaml")
	require.NoError(t, err)
	mine := strings.NewReplacer("[10.244.0.0/16]", `[10.0.0.0/16, "fd00:10::/48"]`, "[10.96.0.0/16]", "["+serviceCIDRs+"]").Replace(string(data))
	require.NoError(t, os.WriteFile(config, []byte(mine), 0o600))
	c.kubectl(t, "", "apply", "-k", folder)
	c.rollOut(t, "dsrd")
}

func (c *cluster) rollOut(t *testing.T, name string) {
	t.Helper()
	c.kubectl(t, "", "rollout", "status", "daemonset/"+name, "--namespace", "kube-system", "--timeout", "2m")
}

// dsrlabCommand returns what dsrlab prints in the client's namespace, and its exit code.
func (c *cluster) dsrlabCommand(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.programs.dsrlab, args...)
	var out, complaints strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaints
	require.NoError(t, c.Network().Do(client, cmd.Start))
	err := cmd.Wait()
	if _, isExit := err.(*exec.ExitError); !isExit { //nolint:errorlint // as Wait returns it
		require.NoError(t, err)
	}
	return out.String(), complaints.String(), cmd.ProcessState.ExitCode()
}
