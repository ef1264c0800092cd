// Package kube is the node agent's Kubernetes side: from Services, EndpointSlices and Nodes, watched by informers or read from a
// file, to a node's data path and pod network. What follows from the objects is pure (Cluster, NetworkOf); an Agent carries it out.
package kube

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strconv"
	"time"

	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/health"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/internal/bounded"
)

// What apiVersion and kind of a configuration are.
const (
	ConfigVersion = "dsrlab.dev/v1alpha1"
	ConfigKind    = "AgentConfig"
)

// maxConfigValues is far more than a configuration has.
const maxConfigValues = 100_000

// Config is what all agents of a cluster are told, as YAML. Where Cilium's Helm chart has the setting it bears the same name.
type Config struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// KubeProxyReplacement must be true: there is no other way to run.
	KubeProxyReplacement bool `json:"kubeProxyReplacement"`
	// RoutingMode is tunnel: requests travel between nodes in a tunnel. Pods talk to each other over routes.
	RoutingMode string `json:"routingMode"`
	// TunnelProtocol is geneve.
	TunnelProtocol string       `json:"tunnelProtocol"`
	LoadBalancer   LoadBalancer `json:"loadBalancer"`
	// Announce configures the announcing of VIPs by BGP.
	Announce Announce `json:"announce,omitzero"`
	// Device leads to the other nodes (default: that of the default route).
	Device string `json:"device,omitempty"`
	// PodNetwork reports whether the agent makes the pods' network, too.
	PodNetwork PodNetwork `json:"podNetwork"`
	// ServiceCIDRs are where ClusterIPs are from: the node's own calls to them are led to Device.
	ServiceCIDRs []netip.Prefix `json:"serviceCIDRs,omitempty"`
	// Sizes are the capacities of the data path's tables; what is not given has its default. Running flows are kept in tables of their
	// size: the node has to be drained and its data path unloaded before a change of a size takes effect.
	Sizes dataplane.Sizes `json:"sizes,omitzero"`
	// HealthzBindAddress is where /healthz and /livez answer as kube-proxy's do: HOST:PORT, or :PORT for all addresses (default :10256).
	// Empty: nowhere.
	HealthzBindAddress string `json:"healthzBindAddress"`
	// DrainSeconds is for how long health checks fail before the agent ends when it is told to, up to 3600.
	DrainSeconds int `json:"drainSeconds,omitempty"`
}

// LoadBalancer is how frontends are served.
type LoadBalancer struct {
	// Mode is snat, dsr or hybrid, for services that don't say.
	Mode services.Mode `json:"mode"`
	// DSRDispatch is geneve.
	DSRDispatch string `json:"dsrDispatch"`
	// Hook is tc (default) or xdp.
	Hook dataplane.Hook `json:"hook,omitempty"`
	// ExternalIPs are where Services may have spec.externalIPs (default nowhere): who may create a Service writes them, and gets the
	// traffic of the address.
	ExternalIPs []netip.Prefix `json:"externalIPs,omitempty"`
}

// PodNetwork is how pods get addresses and reach each other.
type PodNetwork struct {
	// Enabled: the agent writes a CNI configuration (ptp, host-local, portmap), and routes to other nodes' pods.
	Enabled bool `json:"enabled"`
	// CIDRs are where the addresses of all pods are from: what none has yet is unreachable, and what leaves for elsewhere is
	// masqueraded.
	CIDRs []netip.Prefix `json:"cidrs,omitempty"`
	// CNIConfDir is where kubelet's container runtime looks for configurations (default /etc/cni/net.d).
	CNIConfDir string `json:"cniConfDir,omitempty"`
}

// Drain is DrainSeconds as a duration.
func (c *Config) Drain() time.Duration { return time.Duration(c.DrainSeconds) * time.Second }

// DefaultConfig is the talk's, slide 18.
func DefaultConfig() Config {
	return Config{
		APIVersion: ConfigVersion, Kind: ConfigKind,
		KubeProxyReplacement: true, RoutingMode: "tunnel", TunnelProtocol: "geneve",
		LoadBalancer: LoadBalancer{Mode: services.ModeDSR, DSRDispatch: "geneve", Hook: dataplane.HookTC},
		PodNetwork:   PodNetwork{CNIConfDir: "/etc/cni/net.d"},

		HealthzBindAddress: fmt.Sprintf(":%d", health.ProxyPort),
	}
}

// ReadConfig reads a file. All that is wrong with it is in the error, a line each.
func ReadConfig(file string) (Config, error) {
	data, err := bounded.ReadFile(file, bounded.Document)
	if err == nil {
		err = bounded.CheckValues(file, data, maxConfigValues)
	}
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	return ParseConfig(file, data)
}

// ParseConfig is ReadConfig of what is in the file. What it does not say is as in DefaultConfig.
func ParseConfig(file string, data []byte) (Config, error) {
	c := DefaultConfig()
	c.APIVersion, c.Kind = "", ""
	document, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", file, err)
	}
	strict, err := json.UnmarshalStrict(document, &c)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", file, explainType(err))
	}
	var errs []error
	for _, err := range append(strict, c.check()...) {
		errs = append(errs, fmt.Errorf("%s: %w", file, explainRemoved(err)))
	}
	return c, errors.Join(errs...)
}

// explainType says which field has a value of another type than it should; of the document itself there is no field.
func explainType(err error) error {
	var other *stdjson.UnmarshalTypeError
	if !errors.As(err, &other) {
		return err
	}
	switch {
	case other.Field == "":
		return fmt.Errorf("found only a value of type %s (want an AgentConfig: fields with values)", other.Value)
	case other.Type.Kind() == reflect.Slice:
		return fmt.Errorf("%s: found a value of type %s (want a list)", other.Field, other.Value)
	}
	return fmt.Errorf("%s: found a value of type %s, which it can't have", other.Field, other.Value)
}

// explainRemoved says what became of a field that a configuration could have in the past.
func explainRemoved(err error) error {
	if err.Error() == `unknown field "loadBalancer.tableSize"` {
		return fmt.Errorf("%w: leave it out, as all sets of backends have the same number of slots now", err)
	}
	return err
}

// check finds what is wrong with values.
func (c *Config) check() []error {
	var errs []error
	is := func(field, value, want string) {
		if value != want {
			errs = append(errs, fmt.Errorf("%s: %q: must be %s", field, value, want))
		}
	}
	is("apiVersion", c.APIVersion, ConfigVersion)
	is("kind", c.Kind, ConfigKind)
	is("routingMode", c.RoutingMode, "tunnel")
	is("tunnelProtocol", c.TunnelProtocol, "geneve")
	is("loadBalancer.dsrDispatch", c.LoadBalancer.DSRDispatch, "geneve")
	if !c.KubeProxyReplacement {
		errs = append(errs, errors.New("kubeProxyReplacement: false: must be true, as nothing else serves ClusterIPs"))
	}
	if _, err := services.ParseMode(string(c.LoadBalancer.Mode)); err != nil {
		errs = append(errs, fmt.Errorf("loadBalancer.mode: %q: must be snat, dsr or hybrid", c.LoadBalancer.Mode))
	}
	if h := c.LoadBalancer.Hook; h != dataplane.HookTC && h != dataplane.HookXDP {
		errs = append(errs, fmt.Errorf("loadBalancer.hook: %q: must be tc or xdp", h))
	}
	errs = append(errs, checkPrefixes("loadBalancer.externalIPs", c.LoadBalancer.ExternalIPs)...)
	errs = append(errs, c.Announce.check()...)
	errs = append(errs, c.checkHealthz()...)
	errs = append(errs, c.Sizes.Check()...)
	errs = append(errs, checkPrefixes("podNetwork.cidrs", c.PodNetwork.CIDRs)...)
	errs = append(errs, checkPrefixes("serviceCIDRs", c.ServiceCIDRs)...)
	if c.PodNetwork.Enabled && len(c.PodNetwork.CIDRs) == 0 {
		errs = append(errs, errors.New("podNetwork.cidrs: none: name where pods' addresses are from, such as 10.244.0.0/16"))
	}
	if c.DrainSeconds < 0 || c.DrainSeconds > 3600 {
		errs = append(errs, fmt.Errorf("drainSeconds: %d: must be from 0 to 3600", c.DrainSeconds))
	}
	return errs
}

func (c *Config) checkHealthz() []error {
	if c.HealthzBindAddress == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(c.HealthzBindAddress)
	if err == nil && host != "" {
		_, err = netip.ParseAddr(host)
	}
	if number, notNumber := strconv.ParseUint(port, 10, 16); err != nil || notNumber != nil || number == 0 {
		return []error{fmt.Errorf("healthzBindAddress: %q: must be ADDRESS:PORT, :PORT, or empty", c.HealthzBindAddress)}
	}
	return nil
}

func checkPrefixes(field string, all []netip.Prefix) []error {
	var errs []error
	for i, p := range all {
		if !p.IsValid() {
			errs = append(errs, fmt.Errorf("%s[%d]: empty: must be a prefix such as 192.0.2.0/24", field, i))
		} else if p != p.Masked() {
			errs = append(errs, fmt.Errorf("%s[%d]: %s: has bits behind its length, use %s", field, i, p, p.Masked()))
		}
	}
	return errs
}
