package labs

import (
	"errors"
	"slices"

	"github.com/dsrlab/dsrlab/labs/proxies"
	"github.com/dsrlab/dsrlab/labs/testbed"
)

// engine returns the engine of the steps' proxies.
func (r *Runner) engine() proxies.Engine {
	if r.Proxy == "" {
		return proxies.Builtin
	}
	return r.Proxy
}

// checkProxies returns an error if the lab's proxies can't use the runner's engine, before anything is built. used reports whether
// the lab has any.
func (r *Runner) checkProxies(lab *Lab) (used bool, err error) {
	for i := range lab.Spec.Phases {
		for j := range lab.Spec.Phases[i].Steps {
			// The newest version first: a module that sends only an older one is of no use.
			for _, version := range slices.Backward(lab.Spec.Phases[i].Steps[j].Sends()) {
				used = true
				if err := proxies.Check(r.Proxy, version); err != nil {
					return used, err
				}
			}
		}
	}
	return used, nil
}

// isUnsupported reports whether an error means that the machine lacks something, rather than that something failed.
func isUnsupported(err error) bool {
	var lacking *proxies.UnsupportedError
	var site *UnsupportedError
	return testbed.IsMissing(err) || errors.As(err, &lacking) || errors.As(err, &site)
}
