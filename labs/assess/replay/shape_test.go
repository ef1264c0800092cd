package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies"
)

// large are some LB nodes and workers with 4 pods each, and names as clouds give them.
func large(lbs, workers int) assess.Observations {
	o := assess.Observations{Schema: assess.Schema, Profile: &assess.Profile{Requests: 500e3, RequestBytes: 500, ReplyBytes: 20e3, Entry: map[string]float64{}}}
	o.Services = []assess.Service{{Endpoints: map[string]int{}, Service: corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Selector: map[string]string{"app": "web"}}}}}
	for i := range lbs + workers {
		name := fmt.Sprintf("ip-10-0-%03d-1.eu-central-1.compute.internal", i)
		o.Nodes = append(o.Nodes, assess.Node{Name: name, LinkRate: 10e9})
		if i < lbs {
			o.Profile.Entry[name] = 1
		} else {
			o.Services[0].Endpoints[name] = 4
		}
	}
	return o
}

func TestShapeOfAll(t *testing.T) {
	s, err := ShapeOf(large(2, 3), Machine{Nodes: 8, Pods: 16, Rate: 1e9})
	require.NoError(t, err)
	assert.Equal(t, []int{5, 5, 12, 12}, []int{s.Built.Nodes, s.Built.OfNodes, s.Built.Pods, s.Built.OfPods})
	plan, err := topologies.PlanOf(s.Topology)
	require.NoError(t, err)
	assert.Len(t, plan.LBNodes(), 2)
	assert.Len(t, plan.NodesOf(topologies.RoleWorker), 3)
	assert.Len(t, plan.Pods, 12)
	for _, n := range plan.ClusterNodes() {
		assert.InEpsilon(t, 10e9/s.Built.Divisor, float64(n.FromNode.Rate), 1e-6)
	}
	assert.InDelta(t, 500e3, s.Built.Profile.Requests, 1e-3)
	total := 0.0
	for _, p := range s.pods {
		total += p.share
	}
	assert.InDelta(t, 1, total, 1e-9)
}

// Of a cluster that is too large there is a part, in which each node's port carries what it carries in the cluster.
func TestShapeOfPart(t *testing.T) {
	whole := large(10, 30)
	s, err := ShapeOf(whole, Machine{Nodes: 8, Pods: 6, Rate: 1e9})
	require.NoError(t, err)
	assert.Equal(t, []int{8, 40, 6, 120}, []int{s.Built.Nodes, s.Built.OfNodes, s.Built.Pods, s.Built.OfPods})
	before, after := assess.Predict(whole), assess.Predict(s.Observations)
	assert.InEpsilon(t, before.Ports[0].Now.BytesOut, after.Ports[0].Now.BytesOut, 1e-6)
	assert.InEpsilon(t, before.Ports[0].DSR.BytesIn, after.Ports[0].DSR.BytesIn, 1e-6)
	_, err = topologies.PlanOf(s.Topology)
	require.NoError(t, err)
}

// Of a cluster that is too large the nodes with pods are kept, whatever their names.
func TestShapeOfFewNodesWithPods(t *testing.T) {
	o := large(2, 20)
	last := o.Nodes[len(o.Nodes)-1].Name
	o.Services[0].Endpoints = map[string]int{last: 2}
	s, err := ShapeOf(o, Machine{Nodes: 8, Pods: 16, Rate: 1e9})
	require.NoError(t, err)
	assert.Equal(t, []int{8, 2}, []int{s.Built.Nodes, s.Built.Pods})
	for _, p := range s.pods {
		assert.Equal(t, last, p.node)
	}
}

// Requests that are too large to count are sent as more and smaller ones, of as many bytes.
func TestShapeOfLargeRequests(t *testing.T) {
	o := large(1, 2)
	o.Profile.Requests, o.Profile.ReplyBytes = 1, 100e6
	s, err := ShapeOf(o, Machine{Nodes: 8, Pods: 16, Rate: 100e6})
	require.NoError(t, err)
	p := s.Built.Profile
	assert.Greater(t, p.Requests, 1.0)
	assert.InEpsilon(t, s.Built.Parts, p.Requests, 1e-6)
	assert.InEpsilon(t, 100e6, p.Requests*p.ReplyBytes, 1e-6)
	assert.GreaterOrEqual(t, s.pace*counting, 0.5*least*float64(len(s.pods)))
	assertProportions(t, s)
}

// assertProportions checks that what is run puts on the ports what the load that was asked for does.
func assertProportions(t *testing.T, s *Shape) {
	t.Helper()
	want, got := s.predict(s.Built.Whole), assess.Predict(s.Observations)
	require.Len(t, got.Ports, len(want.Ports))
	for i, port := range want.Ports {
		for _, path := range paths() {
			one, other := path.load(port), path.load(got.Ports[i])
			assert.InDelta(t, 0, assess.Off(one.BytesIn, other.BytesIn), distortion, "%s, into %s", path.variant.Name, port.Node)
			assert.InDelta(t, 0, assess.Off(one.BytesOut, other.BytesOut), distortion, "%s, out of %s", path.variant.Name, port.Node)
		}
	}
}

// A light load on fast ports is counted with as many requests as the machine carries, and not with so few that they have to be cut into parts
// of which headers are most: that would be another load.
func TestShapeOfLightLoad(t *testing.T) {
	for name, linkRate := range map[string]float64{"ports of 10 Gbit/s": 10e9, "ports of a rate that is not known": 0} {
		t.Run(name, func(t *testing.T) {
			o := large(0, 10)
			o.Profile = &assess.Profile{Requests: 1000, RequestBytes: 200, ReplyBytes: 5000}
			for i := range o.Nodes {
				o.Nodes[i].LinkRate = linkRate
				o.Services[0].Endpoints[o.Nodes[i].Name] = 2
			}
			s, err := ShapeOf(o, OfCPUs(2))
			require.NoError(t, err)
			assert.Equal(t, []int{10, 20}, []int{s.Built.Nodes, s.Built.Pods})
			assertProportions(t, s)
			for _, path := range paths() {
				assert.LessOrEqual(t, bitsOf(path, assess.Predict(s.Observations))*s.pace/s.Built.Profile.Requests, 0.51*OfCPUs(2).Rate, path.variant.Name)
			}
			assert.InDelta(t, 200, s.Built.Whole.RequestBytes, 1e-9)
		})
	}
}

// Where only some ports' rates are known, these are not filled while they are counted.
func TestShapeOfSlowPort(t *testing.T) {
	o := large(1, 2)
	o.Profile.Requests = 1
	o.Nodes[0].LinkRate, o.Nodes[1].LinkRate = 10e6, 0
	s, err := ShapeOf(o, OfCPUs(2))
	require.NoError(t, err)
	lb := assess.Predict(s.Observations).Ports[0].SNAT
	assert.LessOrEqual(t, 8*max(lb.BytesIn, lb.BytesOut)*s.pace/s.Built.Profile.Requests, 0.5*10e6/s.Built.Divisor)
}

// Each pod is built once, however many services it has.
func TestShapeOfPodsOfTwoServices(t *testing.T) {
	o := large(1, 2)
	o.Services = append(o.Services, o.Services[0], assess.Service{Endpoints: map[string]int{o.Nodes[1].Name: 5}})
	s, err := ShapeOf(o, OfCPUs(2))
	require.NoError(t, err)
	assert.Equal(t, 8, s.Built.OfPods)
}

func TestShapeOfNothing(t *testing.T) {
	o := large(1, 2)
	o.Profile = nil
	_, err := ShapeOf(o, OfCPUs(1))
	require.ErrorIs(t, err, ErrNoLoad)
	_, err = ShapeOf(assess.Observations{Profile: &assess.Profile{}}, OfCPUs(1))
	require.ErrorIs(t, err, ErrNoLoad)
}

// What an interrupted request returns is the interruption, and not what became of its connection.
func TestInterrupted(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	l := &load{pairs: []pair{{target: workload.AddrPortOf(silent.Addr()), share: 1}}, request: request{size: 100, reply: 100}, idle: map[int][]net.Conn{}}
	interrupted := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		if conn, err := silent.Accept(); err == nil {
			defer conn.Close()
			cancel(interrupted)
			_, _ = io.Copy(io.Discard, conn)
		}
	}()
	require.Equal(t, interrupted, l.paced(ctx, 1, 1))
	_, err = l.filled(ctx, filling{inFlight: 1, count: time.Minute})
	require.Equal(t, interrupted, err)
}

// Over a connection that is kept, each reply has the size that was asked for, in however many parts.
func TestExchange(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer server.Close()
	go serve(server)
	l := &load{pairs: []pair{{target: workload.AddrPortOf(server.Addr()), share: 1}}, request: request{size: 70000, reply: 200000, parts: 3}, idle: map[int][]net.Conn{}}
	defer l.close()
	require.NoError(t, l.paced(t.Context(), 10, 1e6))
	for k, conns := range l.idle {
		assert.NotEmpty(t, conns, k)
		for _, conn := range conns {
			require.NoError(t, conn.SetReadDeadline(time.Now()))
			n, err := conn.Read(make([]byte, 1))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			assert.Zero(t, n, "nothing is left")
		}
	}
}

// Requests come in the order of their shares, whenever it is stopped.
func TestSequence(t *testing.T) {
	l := &load{pairs: []pair{{share: 0.5}, {share: 0.25}, {share: 0.25}}}
	got := map[int]int{}
	for i, k := range l.sequence(400) {
		got[k]++
		for n, p := range l.pairs {
			assert.InDelta(t, p.share*float64(i+1), got[n], 1)
		}
	}
	assert.Equal(t, map[int]int{0: 200, 1: 100, 2: 100}, got)
}
