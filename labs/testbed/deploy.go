package testbed

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"

	"sigs.k8s.io/kind/pkg/exec"

	"github.com/dsrlab/dsrlab/dataplane/kube/manifests"
	"github.com/dsrlab/dsrlab/topologies/kind"
)

const (
	// overlayDir is where the manifests are on the control-plane node.
	overlayDir = "/kind/dsrlab"
	// adminConfig is how kubectl reaches the API server there (kubeadm's).
	adminConfig = "/etc/kubernetes/admin.conf"

	agentNamespace, agentName = "kube-system", "dsrd"
)

// overlay is what a cluster has beyond the manifests: agents reach the API server by the address of its node, as its ClusterIP works
// only once they do.
func overlay(apiServer netip.Addr) string {
	return fmt.Sprintf(`apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [base]
patches:
- patch: |-
    apiVersion: apps/v1
    kind: DaemonSet
    metadata: {name: %s, namespace: %s}
    spec:
      template:
        spec:
          containers:
          - name: dsrd
            env:
            - {name: KUBERNETES_SERVICE_HOST, value: %q}
            - {name: KUBERNETES_SERVICE_PORT, value: "%d"}
`, agentName, agentNamespace, apiServer.String(), kind.APIServerPort)
}

// deployAgents applies the manifests of the repository, whose configuration it lets have externalIPs, by the node's own kubectl, and waits until every node's agent
// holds what the cluster's objects say.
func deployAgents(ctx context.Context, c *kind.Cluster) error {
	node, err := c.ControlPlaneNode()
	if err != nil {
		return err
	}
	files, err := overlayArchive(c.ControlPlane)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		argv  []string
		stdin io.Reader
	}{
		{argv: []string{"mkdir", "-p", overlayDir}},
		{argv: []string{"tar", "-x", "-C", overlayDir}, stdin: files},
		{argv: []string{"kubectl", "--kubeconfig", adminConfig, "apply", "-k", overlayDir}},
	} {
		cmd, err := c.Command(ctx, node, step.argv...)
		if err != nil {
			return err
		}
		if step.stdin != nil {
			cmd.SetStdin(step.stdin)
		}
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("deploy agents: %w%s", err, outputOf(err))
		}
	}
	return c.WaitRollout(ctx, agentNamespace, agentName)
}

// allowExternalIPs lets services of the manifests' configuration have any externalIPs: a topology's author is its operator.
func allowExternalIPs(manifest []byte) []byte {
	const before = "      dsrDispatch: geneve\n"
	return bytes.ReplaceAll(manifest, []byte(before), fmt.Appendf(nil, "%s      externalIPs: [%q, %q]\n", before, everywhere()[0], everywhere()[1]))
}

// outputOf returns the output of a program that failed.
func outputOf(err error) string {
	var failed *exec.RunError
	if errors.As(err, &failed) {
		return "\n" + string(failed.Output)
	}
	return ""
}

// overlayArchive is a tar archive of the overlay and, in its folder base, the manifests.
func overlayArchive(apiServer netip.Addr) (io.Reader, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	add := func(name string, data []byte) error {
		err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))})
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	}
	err := errors.Join(
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "base/", Mode: 0o755}),
		add("kustomization.yaml", []byte(overlay(apiServer))),
		fs.WalkDir(manifests.Files, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := manifests.Files.ReadFile(path)
			if err != nil {
				return err
			}
			return add("base/"+path, allowExternalIPs(data))
		}),
		w.Close(),
	)
	return &archive, err
}
