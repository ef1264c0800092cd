package ui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/dsrlab/dsrlab/topologies"
)

// maxBody is the largest request that is read.
const maxBody = 4 << 10

// ErrBusy means that another change is being made.
var ErrBusy = errors.New("another change is being made")

// RequestError is something that the testbed does not have, or can't do.
type RequestError struct{ Err error }

func (e *RequestError) Error() string { return e.Err.Error() }
func (e *RequestError) Unwrap() error { return e.Err }

func refuse(format string, args ...any) error { return &RequestError{fmt.Errorf(format, args...)} }

// change is a request of the page. Which fields it needs depends on what it is sent to.
type change struct {
	Service string           `json:"service"`
	Client  string           `json:"client"`
	Node    string           `json:"node"`
	Lab     string           `json:"lab"`
	Mode    string           `json:"mode"`
	Limit   topologies.Limit `json:"limit"`
	On      bool             `json:"on"`
}

// post reads a change and answers with what do returns, or with an error as JSON.
func (s *Server) post(do func(context.Context, change) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer := any(struct{}{})
		c, err := readChange(w, r)
		if err == nil {
			// A change is completed, even if the page goes away meanwhile.
			answer, err = do(context.WithoutCancel(r.Context()), c)
			s.hub.noteChange()
		}
		status := http.StatusOK
		var request *RequestError
		switch {
		case errors.As(err, &request):
			status = http.StatusBadRequest
		case errors.Is(err, ErrBusy):
			status = http.StatusConflict
		case err != nil:
			status = http.StatusInternalServerError
		}
		if err != nil {
			answer = map[string]string{"error": err.Error()}
		}
		writeJSON(w, status, answer)
	}
}

func readChange(w http.ResponseWriter, r *http.Request) (c change, err error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return c, refuse("Content-Type: found %q (want application/json)", r.Header.Get("Content-Type"))
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return c, refuse("read request: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return c, refuse("read request: found more than one JSON value (want one)")
	}
	return c, nil
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // the page has gone if it fails
}

func (s *Server) setMode(ctx context.Context, c change) (any, error) {
	return struct{}{}, s.config.Testbed.SetMode(ctx, c.Service, c.Mode)
}

func (s *Server) setLimit(ctx context.Context, c change) (any, error) {
	return struct{}{}, s.config.Testbed.SetLimit(ctx, c.Node, c.Limit)
}

func (s *Server) setNode(ctx context.Context, c change) (any, error) {
	return struct{}{}, s.config.Testbed.SetNode(ctx, c.Node, c.On)
}

func (s *Server) setDownload(ctx context.Context, c change) (any, error) {
	if !c.On {
		s.config.Testbed.StopDownload()
		return struct{}{}, nil
	}
	return struct{}{}, s.config.Testbed.StartDownload(ctx, c.Client, c.Service)
}

func (s *Server) trace(ctx context.Context, c change) (any, error) {
	report, err := s.config.Testbed.Trace(ctx, c.Client, c.Service)
	if err != nil {
		return nil, err
	}
	report.Hops = report.FirstPackets()
	return report, nil
}

func (s *Server) runLab(ctx context.Context, c change) (any, error) {
	if !c.On {
		s.config.Testbed.StopLab()
		return struct{}{}, nil
	}
	return struct{}{}, s.config.Testbed.RunLab(ctx, c.Lab)
}

// description is what of a testbed does not change: what the page offers.
type description struct {
	Name     string   `json:"name"`
	Topology string   `json:"topology"`
	Clients  []string `json:"clients"`
	// Downloads and Echoes are services that have a port for transfers, and one that tells whom it saw.
	Downloads []string `json:"downloads"`
	Echoes    []string `json:"echoes"`
	// Limited are LB nodes whose port has a rate in the topology; Mortal are those that may fail, as another remains.
	Limited []string `json:"limited"`
	Mortal  []string `json:"mortal"`
	// Labs are those of the catalogue.
	Labs []LabChoice `json:"labs"`
}

func (s *Server) describe(w http.ResponseWriter, _ *http.Request) {
	d := describe(s.config.Testbed.Name(), s.config.Testbed.Plan())
	all, err := s.config.Testbed.Labs()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	d.Labs = all
	writeJSON(w, http.StatusOK, d)
}

func describe(name string, plan *topologies.Plan) description {
	d := description{Name: name, Topology: plan.Name, Clients: []string{}, Downloads: []string{}, Echoes: []string{}, Limited: []string{}, Mortal: []string{}}
	for _, n := range plan.NodesOf(topologies.RoleClient) {
		d.Clients = append(d.Clients, n.Name)
	}
	for i := range plan.Services {
		service := &plan.Services[i]
		if _, ok := portOf(plan, service, topologies.WorkloadBulk); ok {
			d.Downloads = append(d.Downloads, service.Name)
		}
		if _, ok := portOf(plan, service, topologies.WorkloadEcho); ok {
			d.Echoes = append(d.Echoes, service.Name)
		}
	}
	lbs := plan.LBNodes()
	for _, n := range lbs {
		if n.ToNode.Rate > 0 && n.FromNode.Rate > 0 {
			d.Limited = append(d.Limited, n.Name)
		}
		if len(lbs) > 1 && plan.Substrate == topologies.SubstrateNetns {
			d.Mortal = append(d.Mortal, n.Name)
		}
	}
	return d
}
