package steps

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/application"
)

// answered counts the responses with status 200.
func answered(responses []workload.Response) int {
	n := 0
	for i := range responses {
		if responses[i].Status == http.StatusOK {
			n++
		}
	}
	return n
}

// rateLimit lets the abuser make so many requests that it is blocked whatever paths they take. Then all clients make requests, the
// abuser as few as the others.
func (v *visit) rateLimit(ctx context.Context) error {
	const (
		burst      = 10 // far above what a modest client asks for
		blockAfter = 5
	)
	limiter, err := application.NewRateLimiter(application.RateLimit{Rate: 1, Burst: burst, BlockAfter: blockAfter})
	if err != nil {
		return err
	}
	abuse := 3 * (burst + blockAfter) * len(v.Testbed.LBNodes()) // enough for each address that an LB node could give it
	return v.serve(ctx, limiter, func() error {
		served := map[bool]int{}
		for _, abusing := range []bool{true, false} {
			for i := range v.clients {
				client, count := &v.clients[i], v.requests()
				if abusing {
					count = abuse
				}
				if abusing && client.Name != v.step.Abuser {
					continue
				}
				responses, err := v.get(ctx, client, "/", count)
				if err != nil {
					return err
				}
				if !abusing {
					served[client.Name == v.step.Abuser] += answered(responses)
				}
			}
		}
		innocent := (len(v.clients) - 1) * v.requests()
		return errors.Join(
			v.Sample("innocent_served", "ratio", ratio(served[false], innocent), nil),
			v.Sample("abusive_blocked", "ratio", 1-ratio(served[true], v.requests()), nil),
			v.Evidence(fmt.Sprintf("after %d requests of %s at once it gets %d answers to %d requests, and the other clients %d to %d",
				abuse, v.step.Abuser, served[true], v.requests(), served[false], innocent)),
		)
	})
}

// audit lets each client do something under its own name, and compares the address in the log with that of the client.
func (v *visit) audit(ctx context.Context) error {
	log := application.NewAudit()
	return v.serve(ctx, log, func() error {
		truth := map[string]netip.Addr{}
		for i := range v.clients {
			client := &v.clients[i]
			truth[client.Name] = client.Addresses[0].Addr()
			if _, err := v.get(ctx, client, "/delete?who="+url.QueryEscape(client.Name), v.requests()); err != nil {
				return err
			}
		}
		right, told := 0, "the log is empty"
		for _, line := range log.Record().(application.AuditRecord).Lines {
			path, err := url.Parse(line.Path)
			if err != nil {
				return fmt.Errorf("audit log: %w", err)
			}
			who := path.Query().Get("who")
			if truth[who] == line.Client.Addr() {
				right++
			}
			told = fmt.Sprintf("the log's last line is %q; %s has the address %s", line, who, truth[who])
		}
		return errors.Join(
			v.Sample("lines_right", "ratio", ratio(right, len(v.clients)*v.requests()), nil),
			v.Evidence(told),
		)
	})
}

// geo uses the networks of the topology as regions.
func (v *visit) geo(ctx context.Context) error {
	var table []application.Region
	for _, n := range v.Testbed.Plan().Networks {
		table = append(table, application.Region{Prefix: n.Subnets[0], Name: n.Name})
	}
	geo, err := application.NewGeo(table)
	if err != nil {
		return err
	}
	return v.serve(ctx, geo, func() error {
		right, ofNodes := 0, 0
		var told []string
		for i := range v.clients {
			client := &v.clients[i]
			responses, err := v.get(ctx, client, "/", v.requests())
			if err != nil {
				return err
			}
			var taken string
			for j := range responses {
				taken = strings.TrimSpace(responses[j].Body)
				if taken == client.Network {
					right++
				}
				if taken == v.Testbed.ClusterNodes()[0].Network {
					ofNodes++
				}
			}
			told = append(told, fmt.Sprintf("%s of %s: %s", client.Name, client.Network, taken))
		}
		all := len(v.clients) * v.requests()
		return errors.Join(
			v.Sample("regions_right", "ratio", ratio(right, all), nil),
			v.Sample("regions_of_nodes", "ratio", ratio(ofNodes, all), nil),
			v.Evidence("regions: "+strings.Join(told, ", ")),
		)
	})
}

// visitors checks that a client with several visits counts as one visitor.
func (v *visit) visitors(ctx context.Context) error {
	visitors := application.NewVisitors()
	return v.serve(ctx, visitors, func() error {
		for i := range v.clients {
			if _, err := v.get(ctx, &v.clients[i], "/", v.requests()); err != nil {
				return err
			}
		}
		record := visitors.Record().(application.VisitorsRecord)
		return errors.Join(
			v.Sample("visitors_true", "visitors", float64(len(v.clients)), nil),
			v.Sample("visitors_counted", "visitors", float64(record.Visitors), nil),
			v.Evidence(fmt.Sprintf("%d clients made %d visits, and were counted as %d visitors", len(v.clients), record.Requests, record.Visitors)),
		)
	})
}

// callBack lets every client ask for a call and wait for it.
func (v *visit) callBack(ctx context.Context) error {
	const patience = 400 * time.Millisecond // of the server; somebody else who drops the call costs that
	app, err := application.NewCallBack(workload.Dialer{Enter: v.Testbed.Enter(v.pod.Name)}, patience)
	if err != nil {
		return err
	}
	return v.serve(ctx, app, func() error {
		reached, told := 0, ""
		for i := range v.clients {
			client := &v.clients[i]
			report, err := application.CallMe(ctx, application.CallMeOptions{
				Dialer: v.Testbed.Dialer(client.Name), Target: v.to, Timeout: visitTimeout,
			})
			if err != nil {
				return err
			}
			if report.Reached {
				reached++
			}
			told = fmt.Sprintf("%s waits at %s; the server calls %s: %s", client.Name, client.Addresses[0].Addr(), report.Server.Called.Addr(), report.Server.Outcome)
			if !report.Server.Called.IsValid() {
				told = fmt.Sprintf("%s gets no answer: %s", client.Name, report.Error)
			}
		}
		return errors.Join(
			v.Sample("reached", "ratio", ratio(reached, len(v.clients)), nil),
			v.Evidence(fmt.Sprintf("%d of %d calls arrive; %s", reached, len(v.clients), told)),
		)
	})
}

// quota lets each client ask for a different number of tokens, below its quota.
func (v *visit) quota(ctx context.Context) error {
	tokens := func(i int) int { return 100 + 10*i } // of each request of a client
	limit := tokens(len(v.clients)) * v.requests()  // of the one who asks for most, and a little more
	quota, err := application.NewQuota(int64(limit))
	if err != nil {
		return err
	}
	return v.serve(ctx, quota, func() error {
		served := 0
		for i := range v.clients {
			responses, err := v.get(ctx, &v.clients[i], fmt.Sprintf("/?tokens=%d", tokens(i)), v.requests())
			if err != nil {
				return err
			}
			served += answered(responses)
		}
		record := quota.Record().(application.QuotaRecord)
		right, told := 0, []string{}
		for i := range v.clients {
			if record.Clients[v.clients[i].Addresses[0].Addr()].Tokens == int64(tokens(i)*v.requests()) {
				right++
			}
		}
		for _, addr := range slices.SortedFunc(maps.Keys(record.Clients), netip.Addr.Compare) {
			told = append(told, fmt.Sprintf("%s %d", addr, record.Clients[addr].Tokens))
		}
		all := len(v.clients) * v.requests()
		return errors.Join(
			v.Sample("bills", "bills", float64(len(record.Clients)), nil),
			v.Sample("bills_right", "ratio", ratio(right, len(v.clients)), nil),
			v.Sample("refused_within_quota", "ratio", 1-ratio(served, all), nil),
			v.Evidence(fmt.Sprintf("quota of %d tokens a client; bills: %s", limit, strings.Join(told, ", "))),
		)
	})
}
