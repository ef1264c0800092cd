package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/dataplane/bgp"
)

func newBGPCommand(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "bgp",
		Short: "Speak BGP: announce VIPs to a router, or be the router",
		Args: func(*cobra.Command, []string) error {
			return usageError(errors.New("want announce or learn: see labpod bgp --help"))
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }, // not reached: Args returns an error
	}
	c.AddCommand(newAnnounceCommand(s), newLearnCommand(s))
	return c
}

func newAnnounceCommand(s streams) *cobra.Command {
	var id, router string
	var hops, vips []string
	c := &cobra.Command{
		Use:   "announce --id ADDR --router ADDR --next-hop ADDR --vip ADDR …",
		Short: "Announce VIPs to a router by BGP",
		Long:  `Announce VIPs to a router until told to stop; then withdraw them. Standard output is a log.`,
		Args:  noArgs,
	}
	c.Flags().StringVar(&id, "id", "", "BGP identifier, an IPv4 address")
	c.Flags().StringVar(&router, "router", "", "address of the router")
	c.Flags().StringArrayVar(&hops, "next-hop", nil, "own address; one per IP version")
	c.Flags().StringArrayVar(&vips, "vip", nil, "address to announce; can be given several times")
	c.RunE = func(c *cobra.Command, _ []string) error {
		var a bgp.Announcement
		var errs [4]error
		a.RouterID, errs[0] = parseAddress("id", id)
		a.Router, errs[1] = parseAddress("router", router)
		a.NextHops, errs[2] = parseAddresses("next-hop", hops)
		a.VIPs, errs[3] = parseAddresses("vip", vips)
		err := errors.Join(errs[:]...)
		if err == nil {
			err = a.Validate()
		}
		if err != nil {
			return usageError(err)
		}
		return bgp.Announce(c.Context(), &a, slog.New(slog.NewJSONHandler(s.out, nil)))
	}
	return c
}

func newLearnCommand(s streams) *cobra.Command {
	var id string
	var peers []string
	c := &cobra.Command{
		Use:   "learn --id ADDR --peer ADDR …",
		Short: "Learn VIPs by BGP, and route to every peer that announces them",
		Long: `Listen to peers until told to stop. Announced addresses become routes in the main table, with one next hop for each peer that
announces the address. Standard output is a log.`,
		Args: noArgs,
	}
	c.Flags().StringVar(&id, "id", "", "BGP identifier, an IPv4 address")
	c.Flags().StringArrayVar(&peers, "peer", nil, "address of a peer; can be given several times")
	c.RunE = func(c *cobra.Command, _ []string) error {
		var r bgp.Router
		var errs [2]error
		r.ID, errs[0] = parseAddress("id", id)
		r.Peers, errs[1] = parseAddresses("peer", peers)
		err := errors.Join(errs[:]...)
		if err == nil {
			err = r.Validate()
		}
		if err != nil {
			return usageError(err)
		}
		return bgp.Learn(c.Context(), &r, slog.New(slog.NewJSONHandler(s.out, nil)))
	}
	return c
}

func parseAddress(flag, text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return a, fmt.Errorf("--%s: found %q (want an IP address)", flag, text)
	}
	return a, nil
}

func parseAddresses(flag string, texts []string) ([]netip.Addr, error) {
	var all []netip.Addr
	var errs []error
	for _, text := range texts {
		a, err := parseAddress(flag, text)
		all, errs = append(all, a), append(errs, err)
	}
	return all, errors.Join(errs...)
}
