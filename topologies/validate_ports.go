package topologies

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/dsrlab/dsrlab/topologies/manifest"
)

func (s *serviceChecker) ports() {
	ports := s.Spec.Ports
	if len(ports) == 0 {
		s.errorf("spec.ports", "is missing, want at least one port")
	}
	names, numbers := map[string]int{}, map[string]int{}
	for i := range ports {
		p, field := &ports[i], fmt.Sprintf("spec.ports[%d]", i)
		s.portName(field+".name", p.Name, i, names)
		if p.Protocol != corev1.ProtocolTCP && p.Protocol != corev1.ProtocolUDP {
			s.errorf(field+".protocol", "%q is not balanced, want TCP or UDP", p.Protocol)
		}
		number := fmt.Sprintf("%d %s", p.Port, p.Protocol)
		first, twice := numbers[number]
		switch {
		case p.Port == 0:
			s.errorf(field+".port", "is missing, want 1 to 65535")
		case p.Port < 1 || p.Port > 65535:
			s.errorf(field+".port", "is %d, want 1 to 65535", p.Port)
		case twice:
			s.errorf(field+".port", "%s is already that of spec.ports[%d]", number, first)
		default:
			numbers[number] = i
		}
		s.targetPort(field+".targetPort", p)
		switch {
		case p.NodePort != 0 && s.internal():
			s.errorf(field+".nodePort", "is for type NodePort and LoadBalancer, not for %s", s.Spec.Type)
		case p.NodePort != 0 && s.external():
			s.nodePort(field+".nodePort", p.NodePort, p.Protocol)
		}
	}
}

func (s *serviceChecker) portName(field, name string, index int, names map[string]int) {
	if name == "" {
		if len(s.Spec.Ports) > 1 {
			s.errorf(field, "is missing: of several ports each needs a name")
		}
		return
	}
	if !isLabel(name) && len(validation.IsDNS1123Label(name)) > 0 {
		s.errorf(field, "%q is no port's name: want at most 63 of a-z, 0-9 and -", name)
		return
	}
	if first, twice := names[name]; twice {
		s.errorf(field, "%q is already the name of spec.ports[%d]", name, first)
		return
	}
	names[name] = index
}

// targetPort checks that a number is one, and that a name is that of a port of every pod, with the protocol.
func (s *serviceChecker) targetPort(field string, p *corev1.ServicePort) {
	if p.TargetPort.Type == intstr.Int {
		if n := p.TargetPort.IntVal; (n < 1 || n > 65535) && p.Port != n { // else it is the port that is wrong
			s.errorf(field, "is %d, want 1 to 65535 or the name of a pod's port", n)
		}
		return
	}
	for _, i := range s.pods {
		pod := &s.t.Spec.Pods[i]
		if w, ok := namedPort(pod.Workload, p.TargetPort.StrVal); !ok {
			s.errorf(field, "pod %s has no port named %q%s", pod.Name, p.TargetPort.StrVal,
				manifest.Suggest(p.TargetPort.StrVal, portNames(pod.Workload)))
		} else if !w.Kind.servesUDP() && p.Protocol == corev1.ProtocolUDP {
			s.errorf(field, "%q of pod %s is %s, which serves TCP only", w.Name, pod.Name, w.Kind)
		}
	}
}

func namedPort(workload []WorkloadSpec, name string) (WorkloadSpec, bool) {
	i := slices.IndexFunc(workload, func(w WorkloadSpec) bool { return w.Name == name })
	if i < 0 || name == "" {
		return WorkloadSpec{}, false
	}
	return workload[i], true
}

func portNames(workload []WorkloadSpec) []string {
	var names []string
	for _, w := range workload {
		if w.Name != "" {
			names = append(names, w.Name)
		}
	}
	return names
}

// nodePort checks the range, and that no other service or port has it for the protocol.
func (s *serviceChecker) nodePort(field string, port int32, protocol corev1.Protocol) {
	if port < minNodePort || port > maxNodePort {
		s.errorf(field, "is %d, want %d to %d", port, minNodePort, maxNodePort)
		return
	}
	key := fmt.Sprintf("%d %s", port, protocol)
	if other, twice := s.nodePorts[key]; twice {
		s.errorf(field, "%s is already that of %s", key, other)
		return
	}
	s.nodePorts[key] = s.field + "." + field
}
