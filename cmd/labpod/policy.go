package main

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

// registerPolicy adds the flags of a server that may require PROXY headers; the returned function reads them.
func registerPolicy(c *cobra.Command) func() (proxyproto.Policy, error) {
	var policy proxyproto.Policy
	var from []string
	c.Flags().BoolVar(&policy.Require, "proxy-protocol", false, "connections must begin with a PROXY protocol header, v1 or v2")
	c.Flags().StringArrayVar(&from, "proxy-from", nil, "prefix of trusted proxies (default: all); can be given several times")
	c.Flags().DurationVar(&policy.Timeout, "proxy-timeout", 0, fmt.Sprintf("time for the header (default %s)", proxyproto.DefaultTimeout))
	return func() (proxyproto.Policy, error) {
		var err error
		if policy.From, err = parsePrefixes("proxy-from", from); err != nil {
			return policy, err
		}
		return policy, policy.Validate()
	}
}

// parsePrefixes reads the values of a flag.
func parsePrefixes(flag string, texts []string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	var errs []error
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: found %q (want ADDR/BITS)", flag, text))
			continue
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, errors.Join(errs...)
}

// parseTargets reads the values of a flag that names servers.
func parseTargets(texts []string) ([]netip.AddrPort, error) {
	var targets []netip.AddrPort
	var errs []error
	for _, text := range texts {
		target, err := workload.ParseTarget(text)
		errs = append(errs, err)
		targets = append(targets, target)
	}
	return targets, errors.Join(errs...)
}
