package dataplane

import (
	"errors"
	"fmt"
	"os"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// portRange is a range of ports, first to last.
type portRange struct{ first, last uint16 }

func (r portRange) size() int { return int(r.last) - int(r.first) + 1 }

const (
	localPortsSysctl = "/proc/sys/net/ipv4/ip_local_port_range" // of both families
	unprivilegedPort = 1024                                     // the first one that needs no privilege
	enoughSNATPorts  = 4096                                     // for the flows of one LB node to one port of one pod
)

// nodePorts returns the default range of NodePorts (kube-apiserver, --service-node-port-range).
func nodePorts() portRange { return portRange{30000, 32767} }

// chooseSNATPorts returns asked, or if that is zero the source ports for SNAT beside those that the kernel gives to sockets of this
// network namespace.
func (d *DataPath) chooseSNATPorts(asked portRange) (portRange, error) {
	if asked != (portRange{}) {
		return asked, nil
	}
	text, err := os.ReadFile(localPortsSysctl)
	if err != nil {
		return portRange{}, err
	}
	var local portRange
	if _, err := fmt.Sscan(string(text), &local.first, &local.last); err != nil {
		return portRange{}, fmt.Errorf("%s: found %q (want two ports)", localPortsSysctl, text)
	}
	ports, own := snatPortsBeside(local)
	if !own {
		d.notice = errors.Join(d.notice, fmt.Errorf("SNAT's source ports %d to %d are also the node's own: net.ipv4.ip_local_port_range, %d to %d, leaves too few",
			ports.first, ports.last, local.first, local.last))
	}
	return ports, nil
}

// snatPortsBeside returns the largest range without local ports, NodePorts, privileged ports and that of tunnels, and true; or, where
// that is too small, one that overlaps with local ports. Two flows of one node must not have one port: the node's own connections, what it
// masquerades for pods, which keeps the pods' own source ports mostly, and what SNAT sends are told apart by nothing else. What a pod
// sends to a node's port of tunnels is dropped, as forged.
func snatPortsBeside(local portRange) (ports portRange, own bool) {
	best, first := portRange{1, 0}, unprivilegedPort
	for port := unprivilegedPort; port <= 1<<16; port++ {
		if port < 1<<16 && !local.has(port) && !nodePorts().has(port) && port != services.TunnelPort {
			continue
		}
		if r := (portRange{uint16(first), uint16(port - 1)}); port > first && r.size() > best.size() {
			best = r
		}
		first = port + 1
	}
	if best.size() < enoughSNATPorts {
		return portRange{nodePorts().last + 1, 65535}, false
	}
	return best, true
}

func (r portRange) has(port int) bool { return port >= int(r.first) && port <= int(r.last) }
