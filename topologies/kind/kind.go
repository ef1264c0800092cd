// Package kind builds a topology's LB and pod nodes as a kind cluster without its default CNI and without kube-proxy (slide 18).
// The fabric, the clients and all that is outside of the cluster are network namespaces, made by package netns; of each LB and pod
// node the outer end of its wire is moved into the fabric. So links are shaped, counted and captured at the same place as on
// namespaces: outside of the node.
//
// Nothing of the cluster's traffic leaves the machine: addresses of pods and services that no one has are unreachable on each node
// before its container runtime starts, the nodes' network forwards nowhere, and their default route leads into the fabric, which
// leads nowhere else either. CoreDNS asks nobody outside.
package kind

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/kind/pkg/apis/config/defaults"
	"sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/cluster/nodes"
	"sigs.k8s.io/kind/pkg/exec"

	"github.com/dsrlab/dsrlab/topologies/netns"
)

// DefaultImage is kind's own node image.
const DefaultImage = defaults.Image

// Pins is the folder of a node's data path, on the bpffs that is mounted in the node.
const Pins = "/sys/fs/bpf/dsrlab"

// APIServerPort is where the API server listens on the control-plane node.
const APIServerPort = 6443

// The cluster's ranges, which are those of kubeadm and kind.
var (
	PodCIDR     = netip.MustParsePrefix("10.244.0.0/16") //nolint:gochecknoglobals // constants, if Go had such
	ServiceCIDR = netip.MustParsePrefix("10.96.0.0/16")  //nolint:gochecknoglobals // likewise
)

// Options say how a cluster is made.
type Options struct {
	// NodeImage is the image of the nodes (default DefaultImage). It must be there: nothing is pulled.
	NodeImage string
	// WorkloadImage is the name of the image that pods run, with the workload binary /labpod; Archive writes it as an archive.
	WorkloadImage string
	Archive       func(io.Writer) error
	// Deploy puts the data path and the pod network on the cluster. Afterwards its nodes become ready.
	Deploy func(context.Context, *Cluster) error
	// Keep leaves a cluster that could not be made, for a look.
	Keep bool
	Log  *slog.Logger
	// OnStep is told what is being done.
	OnStep func(step string)
}

func (o Options) withDefaults() Options {
	if o.NodeImage == "" {
		o.NodeImage = DefaultImage
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.OnStep == nil {
		o.OnStep = func(string) {}
	}
	return o
}

// Provider makes a network's nodes as a cluster (netns.NodeProvider). Remove needs no options.
type Provider struct {
	Options Options
	build   *build
}

var _ netns.NodeProvider = (*Provider)(nil)

// Cluster is a running cluster, as its API server describes it.
type Cluster struct {
	// Name is kind's for it.
	Name   string
	Client kubernetes.Interface
	// ControlPlane is the address of the control-plane node.
	ControlPlane netip.Addr

	nodes []nodes.Node // all, the control plane too
}

// nodeLabel is the label of a node of the cluster whose value is the name of the topology's node.
const nodeLabel = "dsrlab.dev/node"

// clusterName is kind's name for a lab's cluster.
func clusterName(lab string) string { return "dsrlab-" + lab }

// kubeconfigPath is the lab's own; no other is ever touched.
func kubeconfigPath(labDir string) string { return filepath.Join(labDir, "kubeconfig") }

// KubeconfigPath is where the lab keeps its way to the API server, for kubectl.
func KubeconfigPath(network *netns.Network) string { return kubeconfigPath(network.Dir()) }

// Open returns the cluster of a running network.
func Open(ctx context.Context, network *netns.Network) (*Cluster, error) {
	c, err := connect(ctx, network)
	if err != nil {
		return nil, fmt.Errorf("open cluster of %s: %w", network.Name(), err)
	}
	return c, nil
}

// connectTimeout is how long a running cluster may take to list its nodes.
const connectTimeout = time.Minute

func connect(ctx context.Context, network *netns.Network) (*Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	c := &Cluster{Name: clusterName(network.Name())}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfigPath(network.Dir()))
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = -1, 0                                         // a lab's own API server need not be spared
	config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil } // it is on this machine, whatever the environment says
	if c.Client, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	if c.nodes, err = provider(nil).ListInternalNodes(c.Name); err != nil {
		return nil, err
	}
	return c, c.readNodes(ctx)
}

// provider is kind's way to the container engine.
func provider(log *slog.Logger) *cluster.Provider {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return cluster.NewProvider(cluster.ProviderWithDocker(), cluster.ProviderWithLogger(logger{log}))
}

// Command runs a program in a node of the cluster, by the cluster's name for it.
func (c *Cluster) Command(ctx context.Context, node string, argv ...string) (exec.Cmd, error) {
	for _, n := range c.nodes {
		if n.String() == node {
			return n.CommandContext(ctx, argv[0], argv[1:]...), nil
		}
	}
	return nil, fmt.Errorf("cluster %s has no node %s", c.Name, node)
}

// ControlPlaneNode is the cluster's name of the control-plane node.
func (c *Cluster) ControlPlaneNode() (string, error) {
	for _, n := range c.nodes {
		if role, err := n.Role(); err == nil && role == "control-plane" {
			return n.String(), nil
		}
	}
	return "", errors.New("the cluster has no control-plane node")
}
