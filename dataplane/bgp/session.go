package bgp

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/server"
)

// port is where BGP listens (RFC 4271, section 8.2.1).
const port = 179

// Timers of a session, in whole seconds.
type Timers struct {
	// Hold is how long a session lives without a message from the peer: at least three seconds (RFC 4271, section 4.2).
	Hold time.Duration
	// Retry is how long to wait before connecting again.
	Retry time.Duration
}

// start starts a GoBGP server, which runs until it is stopped.
func start(ctx context.Context, global *api.Global, log *slog.Logger) (*server.BgpServer, error) {
	s := server.NewBgpServer(server.LoggerOption(log, new(slog.LevelVar)))
	go s.Serve()
	if err := s.StartBgp(ctx, &api.StartBgpRequest{Global: global}); err != nil {
		s.Stop()
		return nil, fmt.Errorf("start BGP: %w", err)
	}
	return s, nil
}

// neighbour returns a peer in the same network with which routes of both families are exchanged.
func neighbour(address netip.Addr, asn uint32, timers Timers, transport *api.Transport) *api.Peer {
	retry, hold := uint64(timers.Retry.Seconds()), uint64(timers.Hold.Seconds())
	p := &api.Peer{
		Conf: &api.PeerConf{NeighborAddress: address.String(), PeerAsn: asn},
		Timers: &api.Timers{Config: &api.TimersConfig{
			ConnectRetry: retry, IdleHoldTimeAfterReset: retry, HoldTime: hold, KeepaliveInterval: hold / 3,
		}},
		Transport: transport,
	}
	for _, afi := range []api.Family_Afi{api.Family_AFI_IP, api.Family_AFI_IP6} {
		p.AfiSafis = append(p.AfiSafis, &api.AfiSafi{Config: &api.AfiSafiConfig{
			Family: &api.Family{Afi: afi, Safi: api.Family_SAFI_UNICAST}, Enabled: true,
		}})
	}
	return p
}
