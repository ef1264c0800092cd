package bgp

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/server"
)

// Port is where BGP listens (RFC 4271, section 8.2.1).
const Port = 179

// Start starts a server that serves until it is stopped.
func Start(ctx context.Context, global *api.Global, log *slog.Logger) (*server.BgpServer, error) {
	level := new(slog.LevelVar)
	s := server.NewBgpServer(server.LoggerOption(log, level))
	go s.Serve()
	if err := s.StartBgp(ctx, &api.StartBgpRequest{Global: global}); err != nil {
		s.Stop()
		return nil, fmt.Errorf("start BGP: %w", err)
	}
	return s, nil
}

// Neighbour is one in the same network, that routes of both IP versions are exchanged with.
func Neighbour(address netip.Addr, asn uint32, times Times, transport *api.Transport) *api.Peer {
	retry, hold := uint64(times.Retry.Seconds()), uint64(times.Hold.Seconds())
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
