package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/ui"
)

// newUICommand serves the page of a running testbed.
func newUICommand(s streams) *cobra.Command {
	var target testbedTarget
	var listen, runs string
	cmd := &cobra.Command{
		Use:   "ui",
		Short: "Serve a live page for a running testbed: the ways of requests and replies, rates, switches, and labs",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			address, err := netip.ParseAddrPort(listen)
			if err != nil {
				return usageError(fmt.Errorf("--listen: found %q (want ADDRESS:PORT, as in 127.0.0.1:8780)", listen))
			}
			if err := mustUndo(cmd.Context()); err != nil { // a change that is being made is completed
				return err
			}
			tb, err := target.attach()
			if err != nil {
				return err
			}
			live, err := ui.NewLive(tb, ui.LabOptions{RunsDir: runs, Refused: checkRunsDir(runs, true), Log: notices(s.err)})
			if err != nil {
				return err
			}
			defer live.Close()
			token := rand.Text()
			server, err := ui.New(ui.Config{Testbed: live, Token: token, Loopback: address.Addr().IsLoopback()})
			if err != nil {
				return err
			}
			listener, err := net.Listen("tcp", address.String())
			if err != nil {
				return fmt.Errorf("--listen: %w", err)
			}
			if !address.Addr().IsLoopback() {
				fmt.Fprintf(s.err, "anybody who reaches %v can watch; who has the URL's token, or sees it in the network (this is no TLS), can change the testbed\n", listener.Addr())
			}
			for _, host := range hosts(address.Addr()) {
				fmt.Fprintf(s.out, "http://%v/#token=%s\n", netip.AddrPortFrom(host, uint16(listener.Addr().(*net.TCPAddr).Port)), token)
			}
			return serveUI(cmd.Context(), listener, server)
		},
	}
	target.flags(cmd)
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8780", "address and port; one beyond loopback lets others watch")
	cmd.Flags().StringVar(&runs, "runs", defaultRunsDir, "folder for the recorded runs of labs that the page starts")
	return cmd
}

// hosts are the addresses by which a listener can be reached: of one that is bound to none, the machine's own.
func hosts(bound netip.Addr) []netip.Addr {
	if !bound.IsUnspecified() {
		return []netip.Addr{bound}
	}
	var all []netip.Addr
	own, _ := net.InterfaceAddrs() // loopback is there in any case
	for _, a := range own {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			all = append(all, p.Addr())
		}
	}
	return append(all, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
}

// serveUI serves until ctx ends.
func serveUI(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		BaseContext: func(net.Listener) context.Context { return ctx }, // viewers' streams end with it
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
