// Package speaker is who speaks BGP in a lab, in the network namespace of its process: it announces VIPs as a node's agent does
// (dataplane/announce/bgp), or learns them and makes routes of them.
package speaker

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/dsrlab/dsrlab/dataplane/announce"
	announcebgp "github.com/dsrlab/dsrlab/dataplane/announce/bgp"
	"github.com/dsrlab/dsrlab/labs/bgp"
)

// times are those of all sessions of a lab.
func times() announcebgp.Times { return announcebgp.Times{Hold: bgp.HoldTime, Retry: bgp.ConnectRetry} }

// Announce calls the router and announces the VIPs until ctx ends; then it says goodbye, and the router forgets them.
func Announce(ctx context.Context, a *bgp.Announcement, log *slog.Logger) error {
	if err := a.Validate(); err != nil {
		return fmt.Errorf("announce VIPs: %w", err)
	}
	s, err := announcebgp.New(ctx, announcebgp.Options{
		ASN: bgp.ClusterASN, ID: a.RouterID, NextHops: a.NextHops, Times: times(), Log: log,
		Peers: []announcebgp.Peer{{Address: a.Router, ASN: bgp.RouterASN}},
	})
	if err != nil {
		return fmt.Errorf("announce VIPs: %w", err)
	}
	defer s.Close()
	var all []announce.Announcement
	for _, vip := range a.VIPs {
		all = append(all, announce.Announcement{VIP: vip, Role: announce.Speaks})
	}
	if err := s.Set(all); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
