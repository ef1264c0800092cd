package testbed

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies"
)

const sixTopology = `
apiVersion: dsrlab.dev/v1alpha1
kind: Topology
metadata: {name: six}
spec:
  networks:
  - {name: clients, subnets: ["2001:db8:1::/64"], gateways: ["2001:db8:1::fe"]}
  - {name: cluster, subnets: ["fd00:1::/64"], gateways: ["fd00:1::fe"]}
  nodes:
  - {name: client, role: client, addresses: ["2001:db8:1::202"]}
  - {name: lb, role: lb, addresses: ["fd00:1::11"], podCIDRs: ["fd00:a:0::/64"]}
  - {name: worker, role: worker, addresses: ["fd00:1::21"], podCIDRs: ["fd00:a:1::/64"]}
  pods:
  - name: echo
    node: worker
    addresses: ["fd00:a:1::50"]
    labels: {app: echo}
    workload:
    - {kind: echo, port: 8080, name: echo}
    - {kind: bulk, port: 5201, name: bulk}
  services:
  - apiVersion: v1
    kind: Service
    metadata: {name: echo}
    spec:
      type: LoadBalancer
      ipFamilies: [IPv6]
      loadBalancerIP: "2001:db8:8::128"
      selector: {app: echo}
      ports:
      - {name: tcp, port: 8080, targetPort: echo, nodePort: 31000}
      - {name: udp, port: 8080, targetPort: echo, nodePort: 31000, protocol: UDP}
      - {name: bulk, port: 5201, targetPort: bulk, nodePort: 31001}
`

// TestIPv6 does over IPv6 what the other tests do over IPv4: addresses, transfers both ways, and a path with a smaller MTU.
func TestIPv6(t *testing.T) {
	six, err := topologies.Parse("six.yaml", []byte(sixTopology))
	require.NoError(t, err)
	vip := netip.MustParseAddr("2001:db8:8::128")
	for _, v := range ourVariants() {
		t.Run(v.Name, func(t *testing.T) {
			tb := serving(t, "five-nodes", func(topology *topologies.Topology) { *topology = *six })
			require.NoError(t, tb.Install(t.Context(), v))
			for _, protocol := range []workload.Protocol{workload.TCP, workload.UDP} {
				report := labtest.Connect(t, tb, "client", protocol, netip.AddrPortFrom(vip, 8080), 20, patience)
				assert.Equal(t, 20, report.Outcomes[workload.OutcomeOK], "%s: %v", protocol, report.Connections[0])
				assert.Equal(t, v.Mode == "dsr", report.Preserved == 20, protocol)
			}
			for _, protocol := range []workload.Protocol{workload.TCP, workload.UDP} {
				report := labtest.Connect(t, tb, "lb", protocol, netip.MustParseAddrPort("[fd00:1::11]:31000"), 20, patience)
				assert.Equal(t, 20, report.Outcomes[workload.OutcomeOK], "own NodePort, %s: %v", protocol, report.Connections[0])
			}
			narrow(t, tb, 1400)
			for _, direction := range []workload.Direction{workload.Download, workload.Upload} {
				report, err := workload.Bulk(t.Context(), workload.BulkOptions{
					Dialer: workload.Dialer{Enter: tb.Enter("client")}, Target: netip.AddrPortFrom(vip, 5201),
					Direction: direction, Bytes: 2_000_000, Duration: 3 * patience,
				})
				require.NoError(t, err, direction)
				if direction == workload.Download {
					assert.EqualValues(t, 2_000_000, report.Download.Bytes)
					assert.Positive(t, labtest.Count(t, tb, "icmp-relayed"))
				} else {
					assert.EqualValues(t, 2_000_000, report.Upload.Bytes)
				}
			}
		})
	}
}

// TestDualStack: clients, nodes, pods and the service have addresses of both families; tunnels are of one, IPv4. The way
// to the client has a smaller MTU than the rest.
func TestDualStack(t *testing.T) {
	for _, v := range ourVariants() {
		t.Run(v.Name, func(t *testing.T) {
			tb := serving(t, "dual-stack", func(topology *topologies.Topology) {
				if v.Mode == "snat" { // a router may tell another LB node than the flow's, which SNAT can't cope with
					lbNodes(1)(topology)
				}
			})
			narrow(t, tb, 1300)
			require.NoError(t, tb.Install(t.Context(), v))
			for _, vip := range []string{"185.150.8.128", "2001:db8:8::128"} {
				for _, protocol := range []workload.Protocol{workload.TCP, workload.UDP} {
					report := labtest.Connect(t, tb, "client", protocol, netip.AddrPortFrom(netip.MustParseAddr(vip), 8080), 20, patience)
					assert.Equal(t, 20, report.Outcomes[workload.OutcomeOK], "%s %s: %v", vip, protocol, report.Connections[0])
					assert.Equal(t, v.Mode == "dsr", report.Preserved == 20, "%s %s", vip, protocol)
				}
				before := labtest.Count(t, tb, "icmp-relayed")
				report, err := workload.Bulk(t.Context(), workload.BulkOptions{
					Dialer: workload.Dialer{Enter: tb.Enter("client")}, Target: netip.AddrPortFrom(netip.MustParseAddr(vip), 5201),
					Direction: workload.Download, Bytes: 2_000_000, Duration: 3 * patience,
				})
				require.NoError(t, err, vip)
				assert.EqualValues(t, 2_000_000, report.Download.Bytes)
				assert.Positive(t, labtest.Count(t, tb, "icmp-relayed")-before, vip)
			}
		})
	}
}
