package ui

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/lockfile"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// newLive brings a testbed up, for the page.
func newLive(t testing.TB, topology string, mode services.Mode) *Live {
	t.Helper()
	labPod := testLabs.Program(t, "labpod")
	tb, _, err := testbed.Up(t.Context(), planOf(t, topology), testbed.Options{
		StateDir: testLabs.StateDir(t), Name: "ui-" + topology, LabPod: labPod, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	require.NoError(t, tb.Install(t.Context(), testbed.Variant{Name: string(mode), DataPath: testbed.DataPathDSRLab, Mode: mode}))
	live, err := NewLive(tb, LabOptions{RunsDir: t.TempDir(), LabPod: labPod})
	require.NoError(t, err)
	t.Cleanup(live.Close)
	return live
}

// What another command has, a page doesn't change: it says who that is. What the page has, others don't get.
func TestOneOwner(t *testing.T) {
	live := newLive(t, "talk", services.ModeDSR)
	_, err := live.Read(t.Context()) // which learns the modes
	require.NoError(t, err)
	refused := func(what string, err error) {
		t.Helper()
		assert.ErrorIs(t, err, ErrBusy)
		var held *lockfile.HeldError
		if assert.ErrorAs(t, err, &held) {
			assert.Equal(t, what, held.What)
			assert.Equal(t, os.Getpid(), held.Holder.PID)
		}
	}
	const client, service, node = "client", "tcp-echo", "lb"
	download := describe("", live.Plan()).Downloads[0]
	network := live.tb.Network()

	lock, err := netns.Acquire(t.Context(), network.StateDir(), network.Name(), nil)
	require.NoError(t, err)
	inUse := fmt.Sprintf("testbed %s is in use", network.Name())
	refused(inUse, live.SetMode(t.Context(), service, "snat"))
	refused(inUse, live.SetLimit(t.Context(), node, topologies.LimitPolice))
	refused(inUse, live.StartDownload(t.Context(), client, download))
	_, err = live.Trace(t.Context(), client, service)
	refused(inUse, err)
	lock.Release()

	release, err := network.AcquireTrace(t.Context(), nil)
	require.NoError(t, err)
	_, err = live.Trace(t.Context(), client, service)
	refused(fmt.Sprintf("testbed %s is being traced", network.Name()), err)
	release()

	const measuring = "this machine is in use for measuring"
	release, err = netns.AcquireMachine(t.Context(), nil)
	require.NoError(t, err)
	refused(measuring, live.StartDownload(t.Context(), client, download))
	assert.False(t, live.download.state().Running)
	release()

	require.NoError(t, live.StartDownload(t.Context(), client, download))
	require.NoError(t, live.StartDownload(t.Context(), client, download), "in place of the first")
	_, err = netns.AcquireMachine(t.Context(), nil)
	assert.ErrorAs(t, err, new(*lockfile.HeldError))
	live.StopDownload()
	release, err = netns.AcquireMachine(context.Background(), nil)
	require.NoError(t, err)
	release()
}
