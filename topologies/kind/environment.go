package kind

import (
	"errors"
	"os"

	"github.com/dsrlab/dsrlab/topologies/netns"
)

// environmentFor is what kind is told by its environment: which network to use, and no proxy, which it would hand on to the nodes. The
// engine's clients that it starts bear the lab's mark.
func environmentFor(network, lab string) map[string]string {
	return map[string]string{
		networkVariable: network, netns.NetworkVariable: lab,
		"HTTP_PROXY": "", "HTTPS_PROXY": "", "NO_PROXY": "", "http_proxy": "", "https_proxy": "", "no_proxy": "",
	}
}

// setEnvironment sets variables of this process; an empty value unsets one. restore gives back those of before.
func setEnvironment(variables map[string]string) (restore func(), err error) {
	before := make(map[string]string)
	var unset []string
	for name, value := range variables {
		if old, had := os.LookupEnv(name); had {
			before[name] = old
		} else {
			unset = append(unset, name)
		}
		if value == "" {
			err = errors.Join(err, os.Unsetenv(name))
		} else {
			err = errors.Join(err, os.Setenv(name, value))
		}
	}
	return func() {
		for name, value := range before {
			_ = os.Setenv(name, value)
		}
		for _, name := range unset {
			_ = os.Unsetenv(name)
		}
	}, err
}
