package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/workload/expire"
)

func newExpireCommand(s streams) *cobra.Command {
	o := expire.Options{}
	c := &cobra.Command{
		Use:   "expire --namespace NAME --after DURATION",
		Short: "Delete a Kubernetes namespace after a time, from within a pod of it",
		Long: `Wait, then delete the namespace, trying again until the API server has taken the request. It needs a service account that may delete that
namespace, and makes sure that what a command has made on a cluster does not outlive it for long, even if it is killed.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Namespace == "" {
				return usageError(errors.New("--namespace: missing (want the name of the namespace to delete)"))
			}
			if o.After <= 0 {
				return usageError(fmt.Errorf("--after: found %v (want a duration, as in 15m)", o.After))
			}
			if o.Server == "" {
				return usageError(errors.New("--server: missing, and this is no pod, whose environment names the API server"))
			}
			return expire.Run(c.Context(), o, func(err error) { fmt.Fprintln(s.err, "labpod:", err) })
		},
	}
	c.Flags().StringVar(&o.Namespace, "namespace", "", "namespace to delete, with all that is in it")
	c.Flags().DurationVar(&o.After, "after", 15*time.Minute, "how long to wait before")
	c.Flags().StringVar(&o.Server, "server", expire.InCluster(), "API server, as in https://10.96.0.1:443 (default: the pod's)")
	c.Flags().StringVar(&o.ServiceAccount, "service-account", "/var/run/secrets/kubernetes.io/serviceaccount", "folder with the files token and ca.crt")
	return c
}
