package pools

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// Class is the loadBalancerClass of services that get addresses here. Those without a class do, too.
const Class = "dsrlab.dev/dsrlab"

// Assignment is what a service's status.loadBalancer.ingress has to be.
type Assignment struct {
	Service *corev1.Service
	// Ingress has an address of each family that the service has and a pool could give, in the order of spec.ipFamilies. None:
	// nothing could be given, or the service is none of type LoadBalancer any more.
	Ingress []corev1.LoadBalancerIngress
}

// Assign says for all services that get their addresses from pools which they get, the oldest first,
// and what could not be given. All services there are have to be told. It is pure, and a fixed point: once the assignments
// are in the services' status it says the same again.
//
// Who has an address keeps it; what spec.loadBalancerIP asks for comes next, and the rest get the lowest free one of the first
// pool that has one. Where two are after the same one the older service gets it, of the same age the first by name. A service
// with an address of no pool, or of another class, is left alone, and nobody gets an address that it has.
func Assign(all []*corev1.Service, pools []Pool) ([]Assignment, []services.Problem) {
	a := &allocator{pools: pools, taken: map[netip.Addr]string{}}
	ordered := slices.SortedFunc(slices.Values(all), services.OlderFirst)
	var claims []*claim
	for _, s := range ordered {
		if c := a.claimOf(s); c != nil {
			claims = append(claims, c)
		}
	}
	a.each(claims, (*allocator).keep)
	a.each(claims, (*allocator).grant)
	a.each(claims, (*allocator).fallBack)
	a.next = cursors(pools)
	a.each(claims, (*allocator).give)
	var assignments []Assignment
	for _, c := range claims {
		assignments = append(assignments, c.assignment())
	}
	return assignments, a.problems
}

// allocator is one run of Assign.
type allocator struct {
	pools    []Pool
	taken    map[netip.Addr]string // to the service that has it
	next     []Range               // what has not been looked at yet
	problems []services.Problem
}

// claim is a service's demand.
type claim struct {
	service *corev1.Service
	seats   []*seat
}

// seat is a service's demand for an address of one family.
type seat struct {
	ipv6     bool
	optional bool       // a second family that the service prefers to have
	held     netip.Addr // of the status, in a pool
	asked    netip.Addr // spec.loadBalancerIP, in a pool
	got      netip.Addr
}

func (a *allocator) problem(s *corev1.Service, field, want, format string, args ...any) {
	a.problems = append(a.problems, services.Problem{Object: "service " + nameOf(s), Field: field, What: fmt.Sprintf(format, args...), Want: want})
}

func nameOf(s *corev1.Service) string { return s.Namespace + "/" + s.Name }

func (a *allocator) each(claims []*claim, phase func(*allocator, *corev1.Service, *seat)) {
	for _, c := range claims {
		for _, s := range c.seats {
			if !s.got.IsValid() {
				phase(a, c.service, s)
			}
		}
	}
}

// claimOf is nil for a service that is left alone.
func (a *allocator) claimOf(s *corev1.Service) *claim {
	held, foreign := a.held(s)
	class := s.Spec.LoadBalancerClass
	switch {
	case s.Spec.Type != corev1.ServiceTypeLoadBalancer:
		if len(held) > 0 && foreign < 0 && class == nil {
			return &claim{service: s} // it was one
		}
		return nil
	case class != nil && *class != Class:
		a.reserve(s, held)
		return nil
	case foreign >= 0:
		a.reserve(s, held)
		a.problem(s, fmt.Sprintf("status.loadBalancer.ingress[%d]", foreign), "take it from the status, or add it to a pool",
			"it is of no pool: the service is left as it is")
		return nil
	}
	c := &claim{service: s}
	for i, family := range slices.Compact(familiesOf(s)) {
		at := &seat{ipv6: family == corev1.IPv6Protocol}
		at.optional = i > 0 && (s.Spec.IPFamilyPolicy == nil || *s.Spec.IPFamilyPolicy != corev1.IPFamilyPolicyRequireDualStack)
		if n := slices.IndexFunc(held, func(h netip.Addr) bool { return h.Is6() == at.ipv6 }); n >= 0 {
			at.held = held[n]
		}
		c.seats = append(c.seats, at)
	}
	a.ask(c)
	return c
}

// held are the addresses of pools that a service's status has; foreign is the index of what else it has, -1: nothing.
func (a *allocator) held(s *corev1.Service) (held []netip.Addr, foreign int) {
	foreign = -1
	for i, ingress := range s.Status.LoadBalancer.Ingress {
		address, err := netip.ParseAddr(ingress.IP)
		proxy := ingress.IPMode != nil && *ingress.IPMode != corev1.LoadBalancerIPModeVIP
		if err != nil || address.Zone() != "" || proxy || ingress.Hostname != "" || !Contain(a.pools, address.Unmap()) {
			foreign = i
			continue
		}
		held = append(held, address.Unmap())
	}
	return held, foreign
}

func (a *allocator) reserve(s *corev1.Service, held []netip.Addr) {
	for _, h := range held {
		if a.taken[h] == "" {
			a.taken[h] = nameOf(s)
		}
	}
}

// ask notes what spec.loadBalancerIP asks for, if that can be had at all.
func (a *allocator) ask(c *claim) {
	text := c.service.Spec.LoadBalancerIP
	if text == "" {
		return
	}
	const want = "ask for an address of a pool, or for none"
	address, err := netip.ParseAddr(text)
	address = address.Unmap()
	at := slices.IndexFunc(c.seats, func(s *seat) bool { return s.ipv6 == address.Is6() })
	switch {
	case err != nil || address.Zone() != "":
		a.problem(c.service, "spec.loadBalancerIP", want, "%q is no address", text)
		return
	case at < 0:
		a.problem(c.service, "spec.loadBalancerIP", want, "%s is of a family that the service has not", address)
		return
	}
	c.seats[at].asked = address
}

// keep leaves a service what it has, unless it asks for something else.
func (a *allocator) keep(of *corev1.Service, s *seat) {
	if s.held.IsValid() && (!s.asked.IsValid() || s.asked == s.held) {
		a.take(of, s, s.held)
	}
}

// grant gives a service what it asks for.
func (a *allocator) grant(of *corev1.Service, s *seat) {
	const want = "ask for another address of a pool, or for none"
	switch {
	case !s.asked.IsValid():
	case !Contain(a.pools, s.asked):
		a.problem(of, "spec.loadBalancerIP", want, "%s is of no pool", s.asked)
	case !a.take(of, s, s.asked):
		a.problem(of, "spec.loadBalancerIP", want, "%s is that of service %s", s.asked, a.taken[s.asked])
	}
}

// fallBack leaves a service that can't have what it asks for what it has.
func (a *allocator) fallBack(of *corev1.Service, s *seat) {
	if s.asked.IsValid() && s.held.IsValid() {
		a.take(of, s, s.held)
	}
}

// give gives a service that asks for nothing the lowest free address.
func (a *allocator) give(of *corev1.Service, s *seat) {
	if s.asked.IsValid() {
		return
	}
	some := false
	for i := range a.next {
		r := &a.next[i]
		if r.Last.Is6() != s.ipv6 {
			continue
		}
		some = true
		for r.First.IsValid() && r.First.Compare(r.Last) <= 0 {
			address := r.First
			r.First = address.Next() // not valid behind the last address there is
			if a.take(of, s, address) {
				return
			}
		}
	}
	family := map[bool]string{false: "IPv4", true: "IPv6"}[s.ipv6]
	switch {
	case some:
		a.problem(of, "status.loadBalancer", "give a pool more addresses", "no pool has a free %s address", family)
	case !s.optional:
		a.problem(of, "status.loadBalancer", "give a pool "+family+" addresses", "no pool has %s addresses", family)
	}
}

func (a *allocator) take(of *corev1.Service, s *seat, address netip.Addr) bool {
	if a.taken[address] != "" {
		return false
	}
	a.taken[address], s.got = nameOf(of), address
	return true
}

// cursors are all ranges of all pools.
func cursors(pools []Pool) []Range {
	var all []Range
	for i := range pools {
		all = append(all, pools[i].all()...)
	}
	return all
}

// familiesOf are spec.ipFamilies, or those of the ClusterIPs, or IPv4.
func familiesOf(s *corev1.Service) []corev1.IPFamily {
	if len(s.Spec.IPFamilies) > 0 {
		return slices.Clone(s.Spec.IPFamilies)
	}
	var all []corev1.IPFamily
	for _, text := range s.Spec.ClusterIPs {
		family := corev1.IPv4Protocol
		if strings.Contains(text, ":") {
			family = corev1.IPv6Protocol
		}
		all = append(all, family)
	}
	if len(all) == 0 {
		return []corev1.IPFamily{corev1.IPv4Protocol}
	}
	return all
}

func (c *claim) assignment() Assignment {
	a := Assignment{Service: c.service}
	for _, s := range c.seats {
		if s.got.IsValid() {
			mode := corev1.LoadBalancerIPModeVIP
			a.Ingress = append(a.Ingress, corev1.LoadBalancerIngress{IP: s.got.String(), IPMode: &mode})
		}
	}
	return a
}

// Written says whether the service's status says so already.
func (a *Assignment) Written() bool {
	return slices.EqualFunc(a.Service.Status.LoadBalancer.Ingress, a.Ingress, func(have, want corev1.LoadBalancerIngress) bool {
		return have.IP == want.IP && have.Hostname == "" && (have.IPMode == nil || *have.IPMode == *want.IPMode)
	})
}
