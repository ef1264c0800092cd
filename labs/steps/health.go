package steps

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/dsrlab/dsrlab/labs/names"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/labs/workload"
)

// HealthStep requests every node's health check of a service with externalTrafficPolicy Local (healthCheckNodePort), as a load
// balancer in front would.
// Sample, labelled with the node: health_status (HTTP status).
type HealthStep struct {
	From    string `json:"from"`
	Service string `json:"service"`
}

// healthPatience is how long a node's agent may take to report new tables.
const healthPatience = 3 * time.Second

func (s *HealthStep) validate() []error {
	if s.Service == "" {
		return []error{errors.New("service: missing")}
	}
	return nil
}

func (s *HealthStep) check(n *names.Names) []error {
	return append(n.From(s.From), names.Known("service", "service", s.Service, n.Services)...)
}

func (s *HealthStep) measures(n *names.Names) []Measurement {
	return Measurements(map[string][]string{"node": n.ClusterNodes}, "health_status")
}

func (s *HealthStep) run(ctx context.Context, t *trial.Attempt) error {
	services := t.Testbed.Plan().Services
	i := slices.IndexFunc(services, func(service corev1.Service) bool { return service.Name == s.Service })
	if i < 0 || services[i].Spec.HealthCheckNodePort == 0 {
		return fmt.Errorf("service %s has no healthCheckNodePort", s.Service)
	}
	for _, n := range t.Testbed.ClusterNodes() {
		at := netip.AddrPortFrom(n.Addresses[0].Addr(), uint16(services[i].Spec.HealthCheckNodePort))
		status, body, err := AskHealth(ctx, t.Testbed.Dialer(s.From), at)
		if err != nil {
			return fmt.Errorf("health check of %s: %w", n.Name, err)
		}
		if err := errors.Join(
			t.Record([]trial.Value{s.Value(n.Name, status)}),
			t.Evidence(fmt.Sprintf("health check of %s: %d %s", n.Name, status, body)),
		); err != nil {
			return err
		}
	}
	return nil
}

// Value returns the step's sample for a node.
func (s *HealthStep) Value(node string, status int) trial.Value {
	return trial.Value{Metric: "health_status", Unit: "status", Value: float64(status), Labels: map[string]string{"node": node}}
}

// AskHealth requests a health check until it answers, for a few seconds at most.
func AskHealth(ctx context.Context, from workload.Dialer, at netip.AddrPort) (status int, body string, err error) {
	url := fmt.Sprintf("http://%v/", at)
	for deadline := time.Now().Add(healthPatience); ; {
		report, err := workload.Get(ctx, workload.GetOptions{Dialer: from, URL: url, Count: 1, Timeout: healthPatience})
		if err != nil {
			return 0, "", err
		}
		answer := report.Responses[0]
		if answer.Outcome == workload.OutcomeOK {
			return answer.Status, answer.Body, nil
		}
		if time.Now().After(deadline) {
			return 0, "", errors.New("no answer from " + url + ": " + string(answer.Outcome) + " " + strconv.Quote(answer.Error))
		}
		select {
		case <-ctx.Done():
			return 0, "", ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
