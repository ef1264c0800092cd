// Package kind tests the labs on a kind cluster, as a user runs them: by the command line. It needs a Docker engine of this machine
// and a node image, KIND_IMAGE.
package kind

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const dsrlab = "../../bin/dsrlab"

// labs are those that must say the same on both substrates.
var labs = []string{"01-source-ip", "02-throughput", "03-local-policy", "06-dsr-packet-walk", "07-full-picture"}

// settings are what kubelet changes of the whole machine.
var settings = []string{
	"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
}

// machine is what must be after a lab as it was before.
type machine struct {
	Containers, Networks, Images, Volumes, Kubeconfig, Links, Namespaces, Rules string
	Settings                                                                    map[string]string
}

func look(t *testing.T) machine {
	t.Helper()
	m := machine{
		Containers: output(t, "docker", "ps", "--all", "--quiet", "--no-trunc"),
		Networks:   output(t, "docker", "network", "ls", "--quiet", "--no-trunc"),
		Images:     sorted(output(t, "docker", "images", "--all", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")),
		Volumes:    output(t, "docker", "volume", "ls", "--quiet"),
		Rules:      output(t, "nft", "list", "tables"),
		Settings:   make(map[string]string),
	}
	if home, err := os.UserHomeDir(); err == nil {
		text, _ := os.ReadFile(filepath.Join(home, ".kube", "config"))
		m.Kubeconfig = string(text)
	}
	links, err := net.Interfaces()
	require.NoError(t, err)
	for _, l := range links {
		m.Links += l.Name + " "
	}
	namespaces, _ := filepath.Glob("/run/netns/dsrlab-*")
	m.Namespaces = strings.Join(namespaces, " ")
	for _, s := range settings {
		value, err := os.ReadFile("/proc/sys/" + s)
		require.NoError(t, err)
		m.Settings[s] = string(value)
	}
	return m
}

func sorted(lines string) string {
	all := strings.Split(lines, "\n")
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func output(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	require.NoError(t, err, "%v: %s", argv, out)
	return string(out)
}

// bench is a state folder, with what takes down whatever is left in it.
type bench struct{ dir, home, image string }

// userKubeconfig is what a user has, with a context of his own.
const userKubeconfig = `apiVersion: v1
kind: Config
current-context: mine
contexts: [{name: mine, context: {cluster: mine, user: me}}]
clusters: [{name: mine, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: me, user: {}}]
`

func (b *bench) kubeconfig() string { return filepath.Join(b.home, "config") }

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{dir: t.TempDir(), home: t.TempDir(), image: os.Getenv("KIND_IMAGE")}
	require.NoError(t, os.WriteFile(b.kubeconfig(), []byte(userKubeconfig), 0o600))
	out, err := exec.Command(dsrlab, "doctor", "--substrate", "kind", "--image", b.image).CombinedOutput()
	if err != nil {
		t.Skipf("NOT TESTED: no kind cluster can be made here: %s", lastLine(out))
	}
	t.Cleanup(func() { _, _ = b.run(context.Background(), "down", "--all") })
	return b
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// run runs dsrlab, and returns what it printed on stdout.
func (b *bench) run(ctx context.Context, args ...string) (string, error) {
	cmd := b.command(ctx, args...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	if err != nil {
		err = errors.Join(err, errors.New(complaint.String()))
	}
	return out.String(), err
}

func (b *bench) command(ctx context.Context, args ...string) *exec.Cmd {
	at := len(args)
	if i := slices.Index(args, "--"); i >= 0 {
		at = i // what follows is another program's
	}
	cmd := exec.CommandContext(ctx, dsrlab, slices.Insert(slices.Clone(args), at, "--state-dir", b.dir)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Env = append(os.Environ(), "KUBECONFIG="+b.kubeconfig())
	return cmd
}

// controlPlane is the node of the control plane.
const controlPlane = "dsrlab-talk-control-plane"

// clientAddress is the client's IPv4 address.
func (b *bench) clientAddress(t *testing.T) netip.Addr {
	t.Helper()
	out := b.must(t, "exec", "client", "--", "sh", "-c", "ip -o -4 addr show dev eth0 | awk '{print $4}'")
	return netip.MustParsePrefix(strings.TrimSpace(out)).Addr()
}

func (b *bench) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := b.run(t.Context(), args...)
	require.NoError(t, err, "dsrlab %v\n%s", args, out)
	return out
}

func (b *bench) up(t *testing.T) {
	t.Helper()
	b.must(t, "up", "-f", "talk", "--substrate", "kind", "--image", b.image)
}

func (b *bench) client(t *testing.T) kubernetes.Interface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(b.dir, "talk", "kubeconfig"))
	require.NoError(t, err)
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	return client
}

// TestCluster: a control plane and two workers come up with no CNI and no kube-proxy but the node agent, and go without a trace.
func TestCluster(t *testing.T) {
	b := newBench(t)
	before := look(t)
	b.up(t)
	client := b.client(t)

	nodes, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	assert.Len(t, nodes.Items, 3)
	for _, n := range nodes.Items {
		assert.True(t, isTrue(n.Status.Conditions, corev1.NodeReady), n.Name)
	}
	sets, err := client.AppsV1().DaemonSets("").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	var names []string
	for _, s := range sets.Items {
		names = append(names, s.Name)
	}
	assert.Equal(t, []string{"dsrd"}, names, "neither kube-proxy nor another CNI")
	pods, err := client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	dns := 0
	for _, p := range pods.Items {
		ready := false
		for _, c := range p.Status.Conditions {
			ready = ready || c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		}
		assert.True(t, ready, p.Name)
		if p.Labels["k8s-app"] == "kube-dns" {
			dns++
		}
	}
	assert.Positive(t, dns, "CoreDNS is among them")

	t.Run("cluster DNS works from a pod", func(t *testing.T) {
		service, err := client.CoreV1().Services("default").Get(t.Context(), "tcp-echo", metav1.GetOptions{})
		require.NoError(t, err)
		system, err := client.CoreV1().Services("kube-system").Get(t.Context(), "kube-dns", metav1.GetOptions{})
		require.NoError(t, err)
		for _, tcp := range []string{"+notcp", "+tcp"} {
			out := b.must(t, "exec", "tcp-echo", "--", "dig", "+short", tcp, "@"+system.Spec.ClusterIP, "tcp-echo.default.svc.cluster.local")
			assert.Equal(t, service.Spec.ClusterIP, strings.TrimSpace(out))
		}
	})
	t.Run("the pod sees the client", func(t *testing.T) {
		out := b.must(t, "exec", "client", "--", "curl", "--silent", "--show-error", "--max-time", "5", "http://185.150.8.128:8080/")
		assert.Contains(t, out, b.clientAddress(t).String())
	})
	t.Run("a pod reaches the API server by its ClusterIP", func(t *testing.T) {
		out := b.must(t, "exec", "tcp-echo", "--", "curl", "--silent", "--insecure", "--max-time", "5", "https://10.96.0.1/version")
		assert.Contains(t, out, "gitVersion")
	})
	t.Run("so do the nodes' own processes, on the API server's node too", func(t *testing.T) {
		for _, n := range nodes.Items {
			out := output(t, "docker", "exec", n.Name, "curl", "--silent", "--show-error", "--insecure", "--max-time", "5", "https://10.96.0.1/version")
			assert.Contains(t, out, "gitVersion", n.Name)
		}
	})
	t.Run("and a NodePort at their own address", func(t *testing.T) {
		service, err := client.CoreV1().Services("default").Get(t.Context(), "tcp-echo", metav1.GetOptions{})
		require.NoError(t, err)
		for _, n := range nodes.Items {
			at := fmt.Sprintf("http://%s:%d/", n.Status.Addresses[0].Address, service.Spec.Ports[0].NodePort)
			out := output(t, "docker", "exec", n.Name, "curl", "--silent", "--show-error", "--max-time", "5", at)
			assert.Contains(t, out, n.Status.Addresses[0].Address, "the pod sees the node %s", n.Name)
		}
	})
	t.Run("what no one has is unreachable", func(t *testing.T) {
		// At their start nodes ask for host.docker.internal, which older engines then ask outside for.
		dropped := guarded(t)
		for _, address := range []string{"10.96.255.254", "10.244.255.254"} {
			out, err := b.run(t.Context(), "exec", "tcp-echo", "--", "curl", "--silent", "--show-error", "--max-time", "3", "http://"+address+":81/")
			assert.Error(t, err, out)
		}
		assert.Equal(t, dropped, guarded(t), "nothing tried to leave by the nodes' network")
	})
	t.Run("nodes ask nobody outside for names", func(t *testing.T) {
		for _, n := range nodes.Items {
			out, err := exec.Command("docker", "exec", n.Name, "getent", "hosts", "example.com").CombinedOutput()
			assert.Error(t, err, string(out))
			output(t, "docker", "exec", n.Name, "getent", "hosts", controlPlane)
		}
	})

	b.must(t, "down")
	assert.Equal(t, before, look(t))
	kubeconfig, err := os.ReadFile(b.kubeconfig())
	require.NoError(t, err)
	assert.Equal(t, userKubeconfig, string(kubeconfig), "the user's kubeconfig is not touched")
}

// guarded are the packets that were kept from leaving by the nodes' network, and from coming in.
func guarded(t *testing.T) []string {
	t.Helper()
	guard := regexp.MustCompile(`[io]ifname "dsrl[0-9a-f]{8}" [io]ifname != "dsrl[0-9a-f]{8}" counter packets (\d+) bytes \d+ drop`)
	rules := guard.FindAllStringSubmatch(output(t, "nft", "list", "ruleset"), -1)
	require.Len(t, rules, 2, "out and in")
	return []string{rules[0][1], rules[1][1]}
}

func isTrue(all []corev1.NodeCondition, kind corev1.NodeConditionType) bool {
	for _, c := range all {
		if c.Type == kind {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// TestInterrupted: what was begun is gone, whether the command could clean up after itself or not.
func TestInterrupted(t *testing.T) {
	b := newBench(t)
	before := look(t)
	for _, test := range []struct {
		step   string // on stderr, when it begins
		signal syscall.Signal
	}{
		{"kind cluster", syscall.SIGINT}, {"kind cluster", syscall.SIGKILL}, {"nodes of the cluster", syscall.SIGKILL}, {"fabric", syscall.SIGKILL},
		{"all pods of the cluster ready", syscall.SIGTERM},
	} {
		t.Run(fmt.Sprintf("%s at %s", test.signal, test.step), func(t *testing.T) {
			cmd := b.command(t.Context(), "up", "-f", "talk", "--substrate", "kind", "--image", b.image)
			progress, err := cmd.StderrPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			var seen []string
			signalled := false
			for lines := bufio.NewScanner(progress); lines.Scan(); {
				if seen = append(seen, lines.Text()); strings.HasPrefix(lines.Text(), test.step) && !signalled {
					signalled = true
					time.Sleep(200 * time.Millisecond) // into the step
					require.NoError(t, cmd.Process.Signal(test.signal))
				}
			}
			require.Error(t, cmd.Wait(), seen)
			require.True(t, signalled, seen)
			if test.signal == syscall.SIGKILL {
				b.must(t, "down", "--name", "talk")
			}
			assert.Equal(t, before, look(t), seen)
		})
	}
}

// TestLabs: labs pass on a cluster with the same verdicts on the same claims as on namespaces.
func TestLabs(t *testing.T) {
	b := newBench(t)
	before := look(t)
	runs := t.TempDir()
	for _, lab := range labs {
		t.Run(lab, func(t *testing.T) {
			verdicts := map[string]map[string]string{}
			for _, substrate := range []string{"netns", "kind"} {
				out, err := b.run(t.Context(), "lab", "run", lab, "--substrate", substrate, "--image", b.image, "--runs", runs, "-o", "json")
				var summary struct {
					Result string `json:"result"`
					Claims []struct {
						ID      string `json:"id"`
						Verdict string `json:"verdict"`
					} `json:"claims"`
				}
				require.NoError(t, json.Unmarshal([]byte(out), &summary), "%s on %s: %v\n%s", lab, substrate, err, out)
				require.NoError(t, err, "%s on %s\n%s", lab, substrate, out)
				assert.Equal(t, "passed", summary.Result)
				verdicts[substrate] = map[string]string{}
				for _, c := range summary.Claims {
					if c.ID != "CONF-1" { // which is about kind alone
						verdicts[substrate][c.ID] = c.Verdict
					}
				}
			}
			assert.NotEmpty(t, verdicts["netns"])
			assert.Equal(t, verdicts["netns"], verdicts["kind"])
		})
	}
	assert.Equal(t, before, look(t))
}
