// Package replay runs the load that a cluster has, or will have, on a testbed of its shape, under kube-proxy, SNAT and DSR, and puts what
// its ports then carry beside what package assess predicts.
package replay

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/topologies"
)

// Machine is what a machine carries.
type Machine struct {
	// Nodes and Pods are how many namespaces it builds in short time.
	Nodes, Pods int
	// Rate is what its ports carry together, in bit/s.
	Rate float64
}

// OfCPUs is a machine with some processors. Each carries 100 Mbit/s, summed over all ports: a fifth of what lab 08 has two of them carry.
func OfCPUs(n int) Machine {
	n = max(n, 1)
	return Machine{Nodes: min(8*n, 64), Pods: min(16*n, 128), Rate: 100e6 * float64(n)}
}

// Shape is what is built of a cluster, and what runs on it.
type Shape struct {
	Topology *topologies.Topology
	// Observations are those of the nodes that are built, by the cluster's names and with its rates, and with the profile that is run.
	Observations assess.Observations
	// Built is what a Replay says of it, without its paths.
	Built assess.Replay

	// node names each of the topology's nodes by the cluster's name of it.
	node map[string]string
	// pods are the topology's, with their shares of the replies, as parts of one; entries the cluster's names of nodes, with those of calls.
	pods    []pod
	entries []share
	// pace is how many requests are sent each second while ports are counted.
	pace float64
}

type pod struct {
	name, node string // in the topology, in the cluster
	share      float64
}

type share struct {
	node  string
	share float64
}

// defaultRate is that of ports whose rate is not known: nothing fills them.
const defaultRate = 10e9

// least is how many requests each pod gets of each entry, at least, while ports are counted: so the shares are exact within some percent.
const least = 8

// ErrNoLoad is that there is nothing to replay.
var ErrNoLoad = errors.New("nothing to replay: there is no profile, and no counters of all nodes to make one from")

// ShapeOf plans what is built of a cluster on a machine.
func ShapeOf(o assess.Observations, m Machine) (*Shape, error) {
	if o.Profile == nil {
		o.Profile = assess.CountedProfile(o)
	}
	if o.Profile == nil || len(o.Nodes) == 0 {
		return nil, ErrNoLoad
	}
	s := &Shape{node: make(map[string]string)}
	s.Built.OfNodes = len(o.Nodes) + len(o.OtherNodes)
	entry, pods := o.Shares()
	counts := podCounts(o, pods)
	s.Built.OfPods = int(sum(counts)) + podsOfOthers(o)
	names := keep(o.Nodes, entry, pods, m.Nodes)
	s.Observations = kept(o, names)
	s.Built.Nodes = len(names)
	entry, pods = only(entry, names), only(pods, names)
	if sum(pods) == 0 || sum(entry) == 0 {
		return nil, fmt.Errorf("nothing to replay: of %d nodes this machine carries %d, and calls enter at none of them, or none has pods", len(o.Nodes), len(names))
	}
	p := *o.Profile
	p.Requests *= sum(entry) // so that each entry has the calls that it has in the cluster
	p.Entry, p.Pods = entry, pods
	s.entries = sharesOf(names, entry)
	s.placePods(names, pods, counts, m.Pods)
	s.Built.Whole = p
	p.Acknowledgements = nil // those of the testbed are counted
	s.fit(&p, m)
	s.Built.Profile = p
	s.Observations.Profile = &p
	s.Topology = s.topology(names, entry)
	return s, nil
}

func sum(all map[string]float64) float64 {
	total := 0.0
	for _, v := range all {
		total += v
	}
	return total
}

// podCounts are how many pods each node has that answers: those of the services, and one where no pod is known.
func podCounts(o assess.Observations, pods map[string]float64) map[string]float64 {
	all, known := make(map[string]float64), o.Pods()
	for _, n := range o.Nodes {
		if pods[n.Name] > 0 {
			all[n.Name] = max(float64(known[n.Name]), 1)
		}
	}
	return all
}

// podsOfOthers are how many pods the nodes have that were not probed, counted as podCounts does.
func podsOfOthers(o assess.Observations) int {
	known, n := o.Pods(), 0
	for _, name := range o.OtherNodes {
		answers := o.Profile.Pods[name] > 0
		if len(o.Profile.Pods) == 0 {
			answers = known[name] > 0 || len(known) == 0
		}
		if answers {
			n += max(known[name], 1)
		}
	}
	return n
}

// keep are the names of the nodes that are built: all, or of those where calls enter and of the others as large a part, and of either the
// ones whose pods answer first.
func keep(nodes []assess.Node, entry, pods map[string]float64, most int) []string {
	var lbs, others []string
	for _, n := range nodes {
		if entry[n.Name] > 0 {
			lbs = append(lbs, n.Name)
		} else {
			others = append(others, n.Name)
		}
	}
	podsFirst := func(a, b string) int {
		if (pods[a] > 0) != (pods[b] > 0) {
			return cmp.Compare(pods[b], pods[a])
		}
		return cmp.Compare(a, b)
	}
	slices.SortFunc(lbs, podsFirst)
	slices.SortFunc(others, podsFirst)
	if len(nodes) > most {
		few := max(1, most*len(lbs)/len(nodes))
		lbs, others = lbs[:min(few, len(lbs))], others[:min(most-few, len(others))]
	}
	return append(lbs, others...)
}

// kept are the observations of some nodes.
func kept(o assess.Observations, names []string) assess.Observations {
	out := assess.Observations{Schema: o.Schema, Of: o.Of}
	for _, n := range o.Nodes {
		if slices.Contains(names, n.Name) {
			out.Nodes = append(out.Nodes, n)
		}
	}
	return out
}

func only(all map[string]float64, names []string) map[string]float64 {
	some := make(map[string]float64)
	for _, name := range names {
		if all[name] > 0 {
			some[name] = all[name]
		}
	}
	return some
}

func sharesOf(names []string, weights map[string]float64) []share {
	var all []share
	total := sum(weights)
	for _, name := range names {
		if weights[name] > 0 {
			all = append(all, share{name, weights[name] / total})
		}
	}
	return all
}

// placePods gives each node that answers its pods, or as many of them as the machine carries, but one at least; they share what it answers.
func (s *Shape) placePods(names []string, shares, counts map[string]float64, most int) {
	total, all := sum(shares), sum(only(counts, names))
	for i, name := range names {
		if shares[name] == 0 {
			continue
		}
		n := int(counts[name])
		if all > float64(most) {
			n = max(1, int(counts[name]*float64(most)/all))
		}
		for k := range n {
			s.pods = append(s.pods, pod{fmt.Sprintf("pod-%d-%d", i+1, k+1), name, shares[name] / total / float64(n)})
		}
	}
	s.Built.Pods = len(s.pods)
}

// counting is how long requests are sent while ports are counted, in seconds, unless that is too short for one of each pair.
const counting = 3

// distortion is by how much sending requests in parts may change the share that a node's port has of all bytes.
const distortion = 0.05

// fit divides the rates of ports so that the machine carries what they then do, and makes single requests small enough to count them.
func (s *Shape) fit(p *assess.Profile, m Machine) {
	whole := s.predict(*p)
	s.Built.Divisor = max(1, crossing(p, whole)/m.Rate)
	s.Built.Parts = 1
	s.pace = s.paceOf(p, whole, m)
	want := float64(least*len(s.entries)*len(s.pods)) / counting
	for parts := math.Ceil(want / s.pace); parts > 1; parts = math.Floor(0.9 * parts) {
		split := partOf(*p, parts)
		if predicted := s.predict(split); distorted(whole, predicted) <= distortion {
			*p, s.Built.Parts, s.pace = split, parts, s.paceOf(&split, predicted, m)
			return
		}
	}
}

// partOf is a profile of as many bytes, in requests that are smaller. Headers are a larger part of these.
func partOf(p assess.Profile, parts float64) assess.Profile {
	p.Requests *= parts
	p.RequestBytes, p.ReplyBytes = max(p.RequestBytes/parts, headerSize), max(p.ReplyBytes/parts, 1)
	p.ReplyPackets = math.Ceil(p.ReplyPackets / parts)
	p.Tokens /= parts
	return p
}

func (s *Shape) predict(p assess.Profile) *assess.Prediction {
	o := s.Observations
	o.Profile = &p
	return assess.Predict(o)
}

// distorted is the largest difference between two predictions for the bytes that a port carries under any path, as a share.
func distorted(a, b *assess.Prediction) float64 {
	most := 0.0
	for _, path := range paths() {
		for i := range a.Ports {
			one, other := path.load(a.Ports[i]), path.load(b.Ports[i])
			most = max(most, math.Abs(assess.Off(one.BytesIn, other.BytesIn)), math.Abs(assess.Off(one.BytesOut, other.BytesOut)))
		}
	}
	return most
}

// bitsOf is what crosses all ports together under a path, in bit/s.
func bitsOf(path path, predicted *assess.Prediction) float64 {
	bits := 0.0
	for _, port := range predicted.Ports {
		load := path.load(port)
		bits += 8 * (load.BytesIn + load.BytesOut)
	}
	return bits
}

// crossing is what crosses all ports together at most, in bit/s: when a port is full, or under the profile where nothing fills them.
func crossing(p *assess.Profile, predicted *assess.Prediction) float64 {
	most := 0.0
	for _, path := range paths() {
		bits := bitsOf(path, predicted)
		if limit := path.limit(predicted); limit != nil {
			bits *= limit.Requests / p.Requests
		}
		most = max(most, bits)
	}
	return most
}

// paceOf is how many requests of the profile are sent each second while ports are counted: half of what fills the first port of known rate, or
// of what the machine carries. What is counted is put in proportion to the profile's requests.
func (s *Shape) paceOf(p *assess.Profile, predicted *assess.Prediction, m Machine) float64 {
	if predicted.SNAT != nil {
		return predicted.SNAT.Requests / 2 / s.Built.Divisor
	}
	fills := math.Inf(1) // as a multiple of the profile
	for _, path := range paths() {
		fills = min(fills, m.Rate*s.Built.Divisor/bitsOf(path, predicted))
		for _, port := range predicted.Ports {
			load := path.load(port)
			if busier := 8 * max(load.BytesIn, load.BytesOut); busier > 0 {
				fills = min(fills, s.linkRate(port.Node)/busier)
			}
		}
	}
	return p.Requests * fills / 2 / s.Built.Divisor
}

// topology is a network for the clients, one for the nodes, and a service for each pod, so that a client chooses who answers.
func (s *Shape) topology(names []string, entry map[string]float64) *topologies.Topology {
	t := &topologies.Topology{APIVersion: topologies.APIVersion, Kind: topologies.Kind}
	t.Metadata.Name = Name
	t.Spec.Networks = []topologies.NetworkSpec{
		{Name: "clients", Subnets: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}},
		{Name: "cluster", Subnets: []netip.Prefix{netip.MustParsePrefix("192.168.2.0/24")}},
	}
	t.Spec.Nodes = []topologies.NodeSpec{{Name: client, Role: topologies.RoleClient, Addresses: []netip.Addr{netip.MustParseAddr("192.168.1.2")}}}
	built := make(map[string]string)
	for i, name := range names {
		n := topologies.NodeSpec{Name: fmt.Sprint("node-", i+1), Role: topologies.RoleWorker, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 168, 2, byte(i + 1)})}}
		if entry[name] > 0 {
			n.Role = topologies.RoleLB
		}
		n.Link.Rate = topologies.Rate(s.linkRate(name) / s.Built.Divisor)
		t.Spec.Nodes = append(t.Spec.Nodes, n)
		s.node[n.Name], built[name] = name, n.Name
	}
	for _, p := range s.pods {
		labels := map[string]string{"pod": p.name}
		t.Spec.Pods = append(t.Spec.Pods, topologies.PodSpec{Name: p.name, Node: built[p.node], Labels: labels})
		t.Spec.Services = append(t.Spec.Services, corev1.Service{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}, ObjectMeta: metav1.ObjectMeta{Name: p.name},
			Spec: corev1.ServiceSpec{
				Type: corev1.ServiceTypeNodePort, Selector: labels,
				Ports: []corev1.ServicePort{{Name: portName, Port: serverPort, TargetPort: intstr.FromInt32(serverPort), Protocol: corev1.ProtocolTCP}},
			},
		})
	}
	return t
}

func (s *Shape) linkRate(name string) float64 {
	for _, n := range s.Observations.Nodes {
		if n.Name == name && n.LinkRate > 0 {
			return n.LinkRate
		}
	}
	return defaultRate
}
