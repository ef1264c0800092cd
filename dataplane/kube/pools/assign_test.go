package pools

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func ptr[T any](value T) *T { return &value }

// lb is a service of type LoadBalancer, as old as its number says: 1 is the oldest.
func lb(number int, change ...func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: fmt.Sprintf("s%d", number), CreationTimestamp: metav1.NewTime(time.Unix(int64(number), 0)),
	}}
	s.Spec.Type = corev1.ServiceTypeLoadBalancer
	s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	for _, c := range change {
		c(s)
	}
	return s
}

func has(ips ...string) func(*corev1.Service) {
	return func(s *corev1.Service) {
		s.Status.LoadBalancer.Ingress = nil
		for _, ip := range ips {
			s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: ip, IPMode: ptr(corev1.LoadBalancerIPModeVIP)})
		}
	}
}

func asks(ip string) func(*corev1.Service) {
	return func(s *corev1.Service) { s.Spec.LoadBalancerIP = ip }
}

func dual(policy corev1.IPFamilyPolicy) func(*corev1.Service) {
	return func(s *corev1.Service) {
		s.Spec.IPFamilies, s.Spec.IPFamilyPolicy = []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}, &policy
	}
}

func class(name string) func(*corev1.Service) {
	return func(s *corev1.Service) { s.Spec.LoadBalancerClass = &name }
}

func typed(name corev1.ServiceType) func(*corev1.Service) {
	return func(s *corev1.Service) { s.Spec.Type = name }
}

func poolOf(name string, cidrs ...string) Pool {
	p := Pool{Name: name}
	for _, c := range cidrs {
		if strings.Contains(c, "-") {
			var r Range
			if err := r.UnmarshalText([]byte(c)); err != nil {
				panic(err)
			}
			p.Ranges = append(p.Ranges, r)
			continue
		}
		p.CIDRs = append(p.CIDRs, netip.MustParsePrefix(c))
	}
	return p
}

// TestAssign: who gets what, and what is said of what can't be.
func TestAssign(t *testing.T) {
	two := []Pool{poolOf("a", "192.0.2.0/31")} // .0 and .1
	both := []Pool{poolOf("a", "192.0.2.8/30", "2001:db8::8-2001:db8::9")}
	for _, test := range []struct {
		name     string
		pools    []Pool
		services []*corev1.Service
		want     string
		problems string
	}{
		{"the oldest first", two, []*corev1.Service{lb(2), lb(1)}, "s1 192.0.2.0, s2 192.0.2.1", ""},
		{"of the same age by name", two, []*corev1.Service{
			lb(2, func(s *corev1.Service) { s.CreationTimestamp = metav1.Time{} }), lb(1, func(s *corev1.Service) { s.CreationTimestamp = metav1.Time{} }),
		}, "s1 192.0.2.0, s2 192.0.2.1", ""},
		{"exhausted", two, []*corev1.Service{lb(1), lb(2), lb(3)}, "s1 192.0.2.0, s2 192.0.2.1, s3 -",
			"service default/s3: status.loadBalancer: no pool has a free IPv4 address; give a pool more addresses"},
		{"the next pool", append(two, poolOf("b", "198.51.100.7/32")), []*corev1.Service{lb(1), lb(2), lb(3)},
			"s1 192.0.2.0, s2 192.0.2.1, s3 198.51.100.7", ""},
		{"kept", two, []*corev1.Service{lb(1), lb(2, has("192.0.2.0"))}, "s1 192.0.2.1, s2 192.0.2.0", ""},
		{"two have the same", two, []*corev1.Service{lb(2, has("192.0.2.1")), lb(1, has("192.0.2.1"))}, "s1 192.0.2.1, s2 192.0.2.0", ""},
		{"asked for", two, []*corev1.Service{lb(1), lb(2, asks("192.0.2.0"))}, "s1 192.0.2.1, s2 192.0.2.0", ""},
		{"asked for by two", two, []*corev1.Service{lb(1, asks("192.0.2.1")), lb(2, asks("192.0.2.1"))}, "s1 192.0.2.1, s2 -",
			"service default/s2: spec.loadBalancerIP: 192.0.2.1 is that of service default/s1; ask for another address of a pool, or for none"},
		{"asked for, but another has it", two, []*corev1.Service{lb(1, asks("192.0.2.1"), has("192.0.2.0")), lb(2, has("192.0.2.1"))},
			"s1 192.0.2.0, s2 192.0.2.1",
			"service default/s1: spec.loadBalancerIP: 192.0.2.1 is that of service default/s2; ask for another address of a pool, or for none"},
		{"exchanged", two, []*corev1.Service{lb(1, asks("192.0.2.1"), has("192.0.2.0")), lb(2, asks("192.0.2.0"), has("192.0.2.1"))},
			"s1 192.0.2.1, s2 192.0.2.0", ""},
		{"asked for, of no pool", two, []*corev1.Service{lb(1, asks("203.0.113.1"))}, "s1 -",
			"service default/s1: spec.loadBalancerIP: 203.0.113.1 is of no pool; ask for another address of a pool, or for none"},
		{"asked for, of the other family", both, []*corev1.Service{lb(1, asks("2001:db8::8"))}, "s1 192.0.2.8",
			"service default/s1: spec.loadBalancerIP: 2001:db8::8 is of a family that the service has not; ask for an address of a pool, or for none"},
		{"asked for, no address", two, []*corev1.Service{lb(1, asks("vip"))}, "s1 192.0.2.0",
			`service default/s1: spec.loadBalancerIP: "vip" is no address; ask for an address of a pool, or for none`},
		{"both families", both, []*corev1.Service{lb(1, dual(corev1.IPFamilyPolicyRequireDualStack)), lb(2, dual(corev1.IPFamilyPolicyPreferDualStack))},
			"s1 192.0.2.8 2001:db8::8, s2 192.0.2.9 2001:db8::9", ""},
		{"both families, one asked for", both, []*corev1.Service{lb(1, dual(corev1.IPFamilyPolicyRequireDualStack), asks("2001:db8::9"))},
			"s1 192.0.2.8 2001:db8::9", ""},
		{"both families are preferred", two, []*corev1.Service{lb(1, dual(corev1.IPFamilyPolicyPreferDualStack))}, "s1 192.0.2.0", ""},
		{"both families are required", two, []*corev1.Service{lb(1, dual(corev1.IPFamilyPolicyRequireDualStack))}, "s1 192.0.2.0",
			"service default/s1: status.loadBalancer: no pool has IPv6 addresses; give a pool IPv6 addresses"},
		{"a family less", both, []*corev1.Service{lb(1, has("192.0.2.11", "2001:db8::9"))}, "s1 192.0.2.11", ""},
		{"families by ClusterIP", both, []*corev1.Service{lb(1, func(s *corev1.Service) { s.Spec.IPFamilies, s.Spec.ClusterIPs = nil, []string{"fd00::1"} })},
			"s1 2001:db8::8", ""},
		{"our class", two, []*corev1.Service{lb(1, class(Class))}, "s1 192.0.2.0", ""},
		{"another class", two, []*corev1.Service{lb(1, class("example.com/other"), has("192.0.2.0")), lb(2, class("example.com/other")), lb(3)},
			"s3 192.0.2.1", ""},
		{"of someone else", two, []*corev1.Service{lb(1, has("203.0.113.1", "192.0.2.0")), lb(2)}, "s2 192.0.2.1",
			"service default/s1: status.loadBalancer.ingress[0]: it is of no pool: the service is left as it is; take it from the status, or add it to a pool"},
		{"no longer a LoadBalancer", two, []*corev1.Service{lb(1, has("192.0.2.0"), typed(corev1.ServiceTypeClusterIP)), lb(2)}, "s1 -, s2 192.0.2.0", ""},
		{"never one", two, []*corev1.Service{lb(1, typed(corev1.ServiceTypeClusterIP)), lb(2, typed(corev1.ServiceTypeNodePort), has("203.0.113.1"))}, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, problems := Assign(test.services, test.pools)
			assert.Equal(t, test.want, describe(got))
			var lines []string
			for _, p := range problems {
				lines = append(lines, p.Error())
			}
			assert.Equal(t, test.problems, strings.Join(lines, "\n"))
		})
	}
}

func describe(all []Assignment) string {
	var lines []string
	for _, a := range all {
		line := a.Service.Name
		for _, ingress := range a.Ingress {
			line += " " + ingress.IP
		}
		if len(a.Ingress) == 0 {
			line += " -"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, ", ")
}

// FuzzAssign: whatever services ask for and have, no two have an address of a pool when the assignments are written, the order in
// which they are told does not matter, and a second time nothing changes.
func FuzzAssign(f *testing.F) {
	for seed := range uint64(16) {
		f.Add(seed, uint8(8+seed))
	}
	f.Fuzz(func(t *testing.T, seed uint64, count uint8) {
		random := rand.New(rand.NewPCG(seed, 0))
		pools := []Pool{poolOf("a", "192.0.2.0/29", "2001:db8::/126"), poolOf("b", "192.0.2.32-192.0.2.34")}
		var all []*corev1.Service
		for i := range int(count % 32) {
			all = append(all, randomService(random, i))
		}
		got, problems := Assign(all, pools)
		shuffled := slices.Clone(all)
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		again, same := Assign(shuffled, pools)
		require.Equal(t, describe(got), describe(again))
		require.Equal(t, problems, same)

		owner := map[string]string{}
		for _, s := range write(all, got) {
			if s.Spec.Type != corev1.ServiceTypeLoadBalancer {
				continue
			}
			for _, ingress := range s.Status.LoadBalancer.Ingress {
				if s.Spec.LoadBalancerClass == nil && Contain(pools, netip.MustParseAddr(ingress.IP)) && mine(got, s) {
					require.Empty(t, owner[ingress.IP], "%s and %s have %s", owner[ingress.IP], s.Name, ingress.IP)
					owner[ingress.IP] = s.Name
				}
			}
		}
		for _, s := range all { // nor one of a service that is left alone
			if s.Spec.Type == corev1.ServiceTypeLoadBalancer && !mine(got, s) {
				for _, ingress := range s.Status.LoadBalancer.Ingress {
					require.Empty(t, owner[ingress.IP])
				}
			}
		}
		third, _ := Assign(write(all, got), pools)
		for _, a := range third {
			require.True(t, a.Written(), "%s: %s after %s", a.Service.Name, describe(third), describe(got))
		}
	})
}

func mine(all []Assignment, s *corev1.Service) bool {
	return slices.ContainsFunc(all, func(a Assignment) bool { return a.Service.Name == s.Name })
}

// write is what becomes of services when assignments are written.
func write(all []*corev1.Service, assignments []Assignment) []*corev1.Service {
	var written []*corev1.Service
	for _, s := range all {
		s = s.DeepCopy()
		for _, a := range assignments {
			if a.Service.Name == s.Name {
				s.Status.LoadBalancer.Ingress = a.Ingress
			}
		}
		written = append(written, s)
	}
	return written
}

func randomService(random *rand.Rand, i int) *corev1.Service {
	address := func() string {
		if random.IntN(3) == 0 {
			return fmt.Sprintf("2001:db8::%x", random.IntN(6))
		}
		return fmt.Sprintf("192.0.2.%d", []int{0, 1, 2, 3, 7, 8, 32, 33, 34, 35}[random.IntN(10)])
	}
	s := lb(random.IntN(4))
	s.Name = fmt.Sprintf("r%d", i)
	if random.IntN(3) == 0 {
		dual([]corev1.IPFamilyPolicy{corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicyRequireDualStack}[random.IntN(2)])(s)
	}
	if random.IntN(2) == 0 {
		s.Spec.LoadBalancerIP = address()
	}
	if random.IntN(2) == 0 {
		has(address())(s)
	}
	if random.IntN(6) == 0 {
		has(address(), address())(s)
	}
	if random.IntN(8) == 0 {
		s.Spec.LoadBalancerClass = ptr("example.com/other")
	}
	if random.IntN(8) == 0 {
		s.Spec.Type = corev1.ServiceTypeClusterIP
	}
	return s
}

// TestCheck: all that is wrong with pools is said at once.
func TestCheck(t *testing.T) {
	assert.Empty(t, Check("pools", []Pool{poolOf("a", "192.0.2.0/31"), poolOf("b", "192.0.2.2/31", "2001:db8::1-2001:db8::9")}))
	var lines []string
	for _, err := range Check("pools", []Pool{
		poolOf("", "192.0.2.1/24"), poolOf("a"), poolOf("a", "192.0.2.7-192.0.2.9", "198.51.100.2-198.51.100.1", "224.0.0.1/32"),
	}) {
		lines = append(lines, err.Error())
	}
	assert.Equal(t, []string{
		"pools[0].name: must be set",
		"pools[0].cidrs[0]: 192.0.2.1/24: has bits behind its length, use 192.0.2.0/24",
		`pools[1]: "a" has no addresses: name cidrs or ranges`,
		`pools[2].name: "a": there are two of this name`,
		"pools[2].ranges[1]: 198.51.100.2-198.51.100.1: must be from the lower address to the higher, of one family",
		"pools[2]: 224.0.0.1-224.0.0.1: must be unicast addresses",
		`pools[2]: 192.0.2.7-192.0.2.9 overlaps with 192.0.2.0-192.0.2.255 of pool ""`,
	}, lines)
}
