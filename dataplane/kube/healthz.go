package kube

import "github.com/dsrlab/dsrlab/dataplane/health"

// serveHealthz answers at HealthzBindAddress, and returns nil where it is empty.
func (a *Agent) serveHealthz() *health.Proxy {
	if a.options.Config.HealthzBindAddress == "" {
		return nil
	}
	return health.ServeProxy(health.ProxyOptions{
		Address: a.options.Config.HealthzBindAddress, Log: a.options.Log,
		Healthy:  a.Synced,
		Eligible: func() bool { return !a.ending.Load() && !a.cluster.Leaving(a.options.Node) },
	})
}
