package steps

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/dsrlab/dsrlab/labs/names"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/application"
	"github.com/dsrlab/dsrlab/topologies"
)

// ApplicationStep runs an application that needs its clients' addresses in the pod of a service (there must be one, so that what
// it remembers is in one place), lets every client of the topology call it, and compares what it decided with the truth.
// Samples, of app ratelimit: innocent_served and abusive_blocked (ratio), of the requests after the abuse; of audit: lines_right
// (ratio); of geo: regions_right and regions_of_nodes (ratio); of visitors: visitors_true and visitors_counted (visitors); of
// callback: reached (ratio); of quota: bills_right and refused_within_quota (ratio), and bills (bills).
type ApplicationStep struct {
	App workload.Kind  `json:"app"`
	To  testbed.Target `json:"to"`
	// Requests are those of each client (default 5).
	Requests int `json:"requests,omitempty"`
	// Abuser is the client that asks far too often; ratelimit only.
	Abuser string `json:"abuser,omitempty"`
}

const (
	defaultVisits = 5
	// visitTimeout is for one request. In a variant that does not work at all, every request takes this long.
	visitTimeout = time.Second
	// visitsAtOnce is how many requests of one client are in progress at the same time.
	visitsAtOnce = 4
)

// visit is a running application with its clients.
type visit struct {
	*trial.Attempt
	step    *ApplicationStep
	clients []topologies.Node
	to      netip.AddrPort // what clients call
	pod     topologies.Pod
	port    uint16 // of the application in the pod
}

func (s *ApplicationStep) validate() []error {
	var errs []error
	if (&visit{}).check(s.App) == nil {
		errs = append(errs, fmt.Errorf("app: found %q (want ratelimit, audit, geo, visitors, callback or quota)", s.App))
	}
	if s.Requests < 0 {
		errs = append(errs, errors.New("requests: found a negative number (want 0 or more)"))
	}
	if (s.Abuser != "") != (s.App == "ratelimit") {
		errs = append(errs, errors.New("abuser: want a client with app ratelimit, and none with others"))
	}
	return errs
}

func (s *ApplicationStep) check(n *names.Names) []error {
	return append(n.Target("to", s.To), names.Optional("abuser", "client", s.Abuser, n.Clients)...)
}

func (s *ApplicationStep) measures(*names.Names) []Measurement {
	return Measurements(nil, map[workload.Kind][]string{
		"ratelimit": {"innocent_served", "abusive_blocked"},
		"audit":     {"lines_right"},
		"geo":       {"regions_right", "regions_of_nodes"},
		"visitors":  {"visitors_true", "visitors_counted"},
		"callback":  {"reached"},
		"quota":     {"bills", "bills_right", "refused_within_quota"},
	}[s.App]...)
}

func (s *ApplicationStep) run(ctx context.Context, t *trial.Attempt) error {
	v, err := s.visit(t)
	if err != nil {
		return err
	}
	return v.check(s.App)(ctx)
}

// check returns the check of an application; nil if there is no such application.
func (v *visit) check(app workload.Kind) func(context.Context) error {
	switch app {
	case "ratelimit":
		return v.rateLimit
	case "audit":
		return v.audit
	case "geo":
		return v.geo
	case "visitors":
		return v.visitors
	case "callback":
		return v.callBack
	case "quota":
		return v.quota
	}
	return nil
}

// visit finds the clients, and the pod that the application has to run in.
func (s *ApplicationStep) visit(t *trial.Attempt) (*visit, error) {
	to, err := t.Testbed.Target(s.To, t.Variant)
	if err != nil {
		return nil, err
	}
	pods, err := t.Testbed.Backends(s.To, t.Variant)
	if err != nil {
		return nil, err
	}
	if len(pods) != 1 {
		return nil, fmt.Errorf("service %s has %d pods: an application wants one, which remembers all clients", s.To.Service, len(pods))
	}
	direct := t.Variant
	direct.DataPath = testbed.DataPathNone
	backend, err := t.Testbed.Target(s.To, direct)
	if err != nil {
		return nil, err
	}
	plan := t.Testbed.Plan()
	v := &visit{
		Attempt: t, step: s, to: to, pod: *plan.PodAt(pods[0]), port: backend.Port(), clients: plan.NodesOf(topologies.RoleClient),
	}
	if s.Abuser != "" && !slices.ContainsFunc(v.clients, func(n topologies.Node) bool { return n.Name == s.Abuser }) {
		return nil, fmt.Errorf("abuser: found %q (want a client of %s)", s.Abuser, plan.Name)
	}
	return v, nil
}

// serve runs the application in the pod while f runs.
func (v *visit) serve(ctx context.Context, app application.App, f func() error) error {
	web, err := application.Open(ctx, app, application.Options{
		Enter: v.Testbed.Enter(v.pod.Name), Listen: netip.AddrPortFrom(netip.Addr{}, v.port),
	})
	if err != nil {
		return err
	}
	servers := workload.Run(ctx, web)
	return errors.Join(f(), servers.Close())
}

// get performs a client's requests. A failed request is a response without a status.
func (v *visit) get(ctx context.Context, client *topologies.Node, path string, count int) ([]workload.Response, error) {
	report, err := workload.Get(ctx, workload.GetOptions{
		Dialer: v.Testbed.Dialer(client.Name), URL: fmt.Sprintf("http://%s%s", v.to, path),
		Count: count, Concurrency: visitsAtOnce, Timeout: visitTimeout,
	})
	if err != nil {
		return nil, err
	}
	return report.Responses, nil
}

// requests returns how many requests each client makes.
func (v *visit) requests() int {
	if v.step.Requests > 0 {
		return v.step.Requests
	}
	return defaultVisits
}
