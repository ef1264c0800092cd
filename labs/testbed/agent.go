package testbed

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// tablesFile is the file that tells a testbed's agents which services there are.
const tablesFile = "tables.json"

// needsAgents reports whether a service has health checks for someone to answer; the data path itself needs no process.
func needsAgents(plan *topologies.Plan) bool {
	for _, s := range plan.Services {
		if s.Spec.HealthCheckNodePort != 0 {
			return true
		}
	}
	return false
}

// startAgents starts an agent on every LB and pod node. They run as long as the testbed.
func (tb *Testbed) startAgents(ctx context.Context, dsrd string) error {
	for _, n := range tb.ClusterNodes() {
		pins, err := tb.network.BPFDir(n.Name)
		if err != nil {
			return err
		}
		argv := []string{dsrd, "--node", n.Name, "--tables", filepath.Join(tb.network.Dir(), tablesFile), "--pins", pins}
		argv = append(argv, tb.platform().agentArgs()...)
		if _, err := tb.network.Start(ctx, n.Name, netns.Process{Name: "dsrd-" + n.Name, Argv: argv}); err != nil {
			return fmt.Errorf("start the agent of %s: %w", n.Name, err)
		}
	}
	return nil
}

// tellAgents writes the services to tablesFile atomically; nil means none.
func (tb *Testbed) tellAgents(tables *services.Tables) error {
	if !needsAgents(tb.plan) {
		return nil
	}
	if tables == nil {
		tables = &services.Tables{}
	}
	document, err := json.Marshal(tables)
	if err != nil {
		return fmt.Errorf("tell agents: %w", err)
	}
	path := filepath.Join(tb.network.Dir(), tablesFile)
	if err := renameio.WriteFile(path, document, 0o600, renameio.WithTempDir(filepath.Dir(path))); err != nil {
		return fmt.Errorf("tell agents: %w", err)
	}
	return nil
}
