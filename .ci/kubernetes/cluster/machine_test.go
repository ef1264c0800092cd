package cluster

import (
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/topologies"
)

// containerd's and kubelet's configurations.
const (
	containerdConfig = `version = 2
root = "%[1]s/containerd"
state = "%[1]s/run"
[grpc]
  address = "%[1]s/containerd.sock"
[ttrpc]
  address = "%[1]s/containerd.ttrpc.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%[2]s"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "%[3]s"
`
	// The nodes share one machine: none of them evicts pods because another one fills it.
	kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: %[2]s}}
authorization: {mode: AlwaysAllow}
containerRuntimeEndpoint: unix://%[1]s/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: %[3]s
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
evictionHard: {memory.available: "1Mi"}
localStorageCapacityIsolation: false
podLogsDir: %[1]s/logs
readOnlyPort: 0
clusterDNS: [10.96.0.10]
resolvConf: ""
`
	// kind's own network is this: a wire per pod, and routes on the nodes. The topology's own pods have the first addresses.
	networkConfig = `{"cniVersion": "0.4.0", "name": "ptp", "plugins": [
  {"type": "ptp", "ipMasq": false, "ipam": {"type": "host-local", "dataDir": "%[1]s/addresses-of-pods", "ranges": [%[2]s], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}
`
)

// writeMachine writes the files of a node.
func writeMachine(t *testing.T, folder string, p programs, ca *authority, n topologies.Node, network bool) {
	t.Helper()
	require.NoError(t, os.MkdirAll(folder, 0o755))
	write := func(name, format string, args ...any) {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), fmt.Appendf(nil, format, args...), 0o600))
	}
	write("containerd.toml", containerdConfig, folder, pauseImage, filepath.Join(p.folder, "cni"))
	write("kubelet.yaml", kubeletConfig, folder, filepath.Join(ca.folder, "ca.crt"), "/"+groupOf(n.Name))
	var addresses, ranges []string
	for _, a := range n.Addresses {
		addresses = append(addresses, a.Addr().String())
	}
	write("addresses", "%s", strings.Join(addresses, ","))
	for _, cidr := range n.PodCIDRs {
		ranges = append(ranges, fmt.Sprintf(`[{"subnet": %q, "rangeStart": %q}]`, cidr, skip(cidr.Addr(), 100)))
	}
	if network {
		write("ptp.conflist", networkConfig, folder, strings.Join(ranges, ", "))
	}
}

// skip returns the address n behind a.
func skip(a netip.Addr, n int) netip.Addr {
	for range n {
		a = a.Next()
	}
	return a
}

// cgroups is where control groups are, and group the tests' own folder in each hierarchy.
const cgroups, group = "/sys/fs/cgroup", "dsrlab-kubernetes-test"

func groupOf(node string) string { return group + "/" + node }

// hierarchies are the folders of cgroup v1's controllers, or that of v2.
func hierarchies(t *testing.T) (all []string, v2 bool) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(cgroups, "cgroup.controllers")); err == nil {
		return []string{cgroups}, true
	}
	entries, err := os.ReadDir(cgroups) // beside v1's there may be v2's, without controllers
	require.NoError(t, err)
	for _, e := range entries {
		if e.IsDir() {
			all = append(all, filepath.Join(cgroups, e.Name()))
		}
	}
	return all, false
}

// makeGroups makes the control groups that kubelets begin with.
func makeGroups(t *testing.T, nodes []topologies.Node) {
	t.Helper()
	removeGroups(t) // of a run that was killed
	all, v2 := hierarchies(t)
	for _, hierarchy := range all {
		if v2 {
			delegate(t, hierarchy)
		}
		for _, n := range nodes {
			require.NoError(t, os.MkdirAll(filepath.Join(hierarchy, groupOf(n.Name)), 0o755))
		}
		if v2 {
			delegate(t, filepath.Join(hierarchy, group))
		}
		if filepath.Base(hierarchy) != "cpuset" {
			continue
		}
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // a new group has none
			data, err := os.ReadFile(filepath.Join(hierarchy, file))
			require.NoError(t, err)
			for _, g := range append([]string{group}, groupsOf(nodes)...) {
				require.NoError(t, os.WriteFile(filepath.Join(hierarchy, g, file), data, 0))
			}
		}
	}
}

func groupsOf(nodes []topologies.Node) []string {
	var all []string
	for _, n := range nodes {
		all = append(all, groupOf(n.Name))
	}
	return all
}

// delegate lets the groups below one have all controllers.
func delegate(t *testing.T, folder string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(folder, "cgroup.controllers"))
	require.NoError(t, err)
	for _, controller := range strings.Fields(string(data)) {
		require.NoError(t, os.WriteFile(filepath.Join(folder, "cgroup.subtree_control"), []byte("+"+controller), 0))
	}
}

// removeGroups removes the tests' control groups. Their processes are gone.
func removeGroups(t *testing.T) {
	t.Helper()
	all, _ := hierarchies(t)
	for _, hierarchy := range all {
		var folders []string
		_ = filepath.WalkDir(filepath.Join(hierarchy, group), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				folders = append(folders, path)
			}
			return nil
		})
		for _, folder := range slices.Backward(folders) {
			if err := os.Remove(folder); err != nil {
				t.Errorf("control group stays: %v", err)
			}
		}
	}
}
