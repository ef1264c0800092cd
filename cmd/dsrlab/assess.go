package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/cmd/internal/usage"
	"github.com/dsrlab/dsrlab/labs/assess"
)

const assessLong = `Probes the network of a running testbed, or that of a cluster by its kubeconfig, or reads what was observed of a cluster's network, and
says for each pair of nodes and for each service whether DSR works, works if something is changed, or will not work. Each finding has its
evidence (packets sent and seen), its consequence, who is hurt, what to change, with the provider's own command where the provider is known,
and the lab that shows it. What was not tried is "not known".

No other command may change a testbed or measure on the machine meanwhile.

On a testbed each node sends packets with foreign sources to the client, and tunnels' packets of all sizes to each other node, and what
arrives is looked at; the client calls frontends, and opens connections whose replies come from another node. Nothing is changed. "dsrlab
up --obstacle" builds testbeds whose networks misbehave.

On a cluster the same is done by a pod on each node, with the node's network and the capabilities NET_RAW and NET_ADMIN, in a namespace of its
own; this machine is the client, and must reach the nodes' addresses. The namespace is removed at the end, also after Ctrl-C; if this
process is killed, a pod in the namespace removes it after --ttl. Nothing else is installed or changed, but nodes keep the image that they
have pulled.

FILE holds observations in JSON or YAML: nodes, services, and probes with what became of them. It is only read: no root, no cluster.

What would be gained is predicted for the load of the observations' profile, or of --profile, or of the counters of the nodes' ports. With
--replay that load also runs on a testbed of the cluster's shape, as large as this machine carries, under kube-proxy, snat and dsr; bytes and
packets at each port, and the load that fills the first one, are put beside the prediction. The testbed is removed at the end, also after
Ctrl-C; no other is touched.

Exit codes: 0 DSR works, 1 something is in the way, 2 bad usage or another dsrlab is at work, 3 the machine or the cluster lacks
something, 4 not known, or the network could not be probed, or something could not be removed.`

// newAssessCommand judges whether DSR would work on a network.
func newAssessCommand(s streams) *cobra.Command {
	var from, save, output string
	var site assessedSite
	var onCluster assessedCluster
	var load assessedReplay
	cmd := &cobra.Command{
		Use:     "assess [--from FILE | --kubeconfig FILE]",
		Short:   "Judge whether DSR would work on a network, what would break, and what would be gained",
		Long:    assessLong,
		Example: "  dsrlab assess --idle 5s\n  dsrlab assess --kubeconfig ~/.kube/config\n  dsrlab assess --from observed.json\n  dsrlab assess --from observed.yaml -o html > report.html\n  sudo dsrlab assess --from observed.yaml --profile load.yaml --replay",
		Args: func(cmd *cobra.Command, args []string) error {
			return asUsage(usage.Args(cobra.NoArgs)(cmd, args))
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkReportFormat(output); err != nil {
				return err
			}
			if err := checkSave(save); err != nil {
				return err
			}
			if err := load.check(); err != nil {
				return err
			}
			observed, err := observations(cmd, from, &site, &onCluster, s)
			if err != nil && observed.Schema == "" {
				return err
			}
			report, notReplayed := load.diagnose(cmd.Context(), &observed, &site, s)
			// The report comes first: what can't be saved, removed or replayed is at least seen.
			if err := errors.Join(writeAssessment(s.out, output, &report), saveObservations(save, observed), err, notReplayed); err != nil {
				return err
			}
			return assessed(&report)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "file of observations to judge, in place of a running testbed")
	site.flags(cmd)
	onCluster.flags(cmd)
	load.flags(cmd)
	cmd.Flags().StringVar(&save, "save", "", "also write the observations to a file, as JSON")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "format: table, json, yaml, markdown or html")
	return cmd
}

// observations are those of a file, of a cluster, or of a running testbed. Together with an error they are complete if they have a schema.
func observations(cmd *cobra.Command, from string, site *assessedSite, onCluster *assessedCluster, s streams) (assess.Observations, error) {
	meant, err := onCluster.isMeant(cmd, site.idle)
	if err != nil {
		return assess.Observations{}, err
	}
	if meant {
		idle, err := site.rest()
		if err != nil {
			return assess.Observations{}, err
		}
		return onCluster.observe(cmd.Context(), idle, s)
	}
	if from == "" {
		return site.observe(cmd.Context(), s)
	}
	alone := []string{"name", "client", "idle"}
	if !cmd.Flags().Changed("replay") { // whose testbed is somewhere, and may have to wait
		alone = append(alone, "state-dir", "wait")
	}
	for _, flag := range alone {
		if cmd.Flags().Changed(flag) {
			return assess.Observations{}, usageError(fmt.Errorf("--from, --%s: found both (want one: a file is only read)", flag))
		}
	}
	observed, err := assess.Read(from)
	if err != nil {
		return observed, usageError(fmt.Errorf("--from: %w", err))
	}
	return observed, nil
}

func checkReportFormat(output string) error {
	switch output {
	case "table", "json", "yaml", "markdown", "html":
		return nil
	}
	return usageError(fmt.Errorf("--output: unknown format %q (want table, json, yaml, markdown or html)", output))
}

// checkSave refuses a file that observations can't be saved to, before minutes are spent on them.
func checkSave(file string) error {
	if file == "" {
		return nil
	}
	folder, err := os.Stat(filepath.Dir(file))
	switch {
	case err != nil:
		return usageError(outputError("save", file, err))
	case !folder.IsDir():
		return usageError(fmt.Errorf("--save: %s is no folder to write %s in", filepath.Dir(file), filepath.Base(file)))
	}
	if found, err := os.Stat(file); err == nil && found.IsDir() {
		return usageError(fmt.Errorf("--save: %s is a folder (want a file)", file))
	}
	return nil
}

// saveObservations writes observations to a file, whole or not at all; an empty name: nowhere.
func saveObservations(file string, o assess.Observations) error {
	if file == "" {
		return nil
	}
	data, err := o.JSON()
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(file, data, 0o644); err != nil {
		return usageError(outputError("save", file, err)) // exit code 1 would be a verdict
	}
	return nil
}

func writeAssessment(w io.Writer, output string, r *assess.Report) error {
	switch output {
	case "markdown":
		return assess.Markdown(w, r)
	case "html":
		return assess.HTML(w, r)
	}
	return printAs(w, output, r, func(w io.Writer) { printAssessment(w, r) })
}

// assessed is the error, with its exit code, of a verdict other than that DSR works.
func assessed(r *assess.Report) error {
	switch r.Verdict {
	case assess.Works:
		return nil
	case assess.NotKnown:
		return &exitError{exitUntested, errors.New(r.Answer())}
	}
	return &exitError{exitFailed, errors.New(r.Answer())}
}
