package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// TraceFilter says which flows Trace follows: those of one client, in both directions.
type TraceFilter struct {
	Client   netip.Addr
	Port     uint16            // the client's; 0: any
	Protocol services.Protocol // 0: any; ICMP messages are followed, too
	// Ready is called when the filter is in force, so that the flow can begin; may be nil.
	Ready func()
}

// Hop is one packet of a traced flow at one of the node's hooks.
type Hop struct {
	Event
	// LengthBefore and LengthAfter are those of the whole frame in bytes, as the program met it and as it left it.
	LengthBefore, LengthAfter int
	// Before and After are the frame's first bytes from the Ethernet header on, as many of them as were kept (at most 192).
	Before, After []byte
}

// A filter is a lease: the programs clear it when its time is over, so that a process that was killed leaves nothing on. The lease is
// long against the time that a busy machine may keep its process from renewing it.
const (
	traceLease   = 5 * time.Second
	renewalEvery = time.Second
)

// Trace hands each packet of the flows that the filter names to handle, until ctx ends. A node traces one filter at a time:
// the last that was set; at the end nothing is traced, at the latest after the time of traceLease if this process is killed. The caller sees
// to it that nobody else traces there meanwhile.
func (d *DataPath) Trace(ctx context.Context, filter TraceFilter, handle func(Hop) error) (err error) {
	if !filter.Client.IsValid() {
		return fmt.Errorf("trace: client %v: must be an IPv4 or IPv6 address", filter.Client)
	}
	r, err := d.newEventDecoder()
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	// What an earlier trace has left unread is not of this one.
	if err := readRing(ctx, d.objects.Hops, false, func([]byte) error { return nil }); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	if err := d.setTraceFilter(filter); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	renewed := make(chan error, 1)
	go func() {
		defer cancel()
		renewed <- d.renewTraceFilter(ctx, filter)
	}()
	defer func() {
		cancel()
		err = errors.Join(err, <-renewed) // and no renewal comes after what clears it
		if clear := d.objects.Tracing.Put(uint32(0), bpf.DatapathTraceFilter{}); clear != nil {
			err = errors.Join(err, fmt.Errorf("trace: clear filter: %w", clear))
		}
	}()
	if filter.Ready != nil {
		filter.Ready()
	}
	return readRing(ctx, d.objects.Hops, true, func(raw []byte) error {
		var h bpf.DatapathHop
		if err := decode(raw, &h); err != nil {
			return err
		}
		return handle(r.hop(&h))
	})
}

// setTraceFilter has the programs trace, for the time of a lease.
func (d *DataPath) setTraceFilter(filter TraceFilter) error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC_COARSE, &now); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	value := bpf.DatapathTraceFilter{
		Until: uint64(now.Nano() + traceLease.Nanoseconds()), Client: bpf.WireAddress(filter.Client), Port: bpf.Port16(filter.Port),
		Protocol: uint8(filter.Protocol),
	}
	if err := d.objects.Tracing.Put(uint32(0), value); err != nil {
		return fmt.Errorf("trace: set filter: %w", err)
	}
	return nil
}

// renewTraceFilter keeps the filter in force until ctx ends.
func (d *DataPath) renewTraceFilter(ctx context.Context, filter TraceFilter) error {
	ticker := time.NewTicker(renewalEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := d.setTraceFilter(filter); err != nil {
				return err
			}
		}
	}
}

func (r *eventDecoder) hop(h *bpf.DatapathHop) Hop {
	return Hop{
		Event:        r.event(&h.Event),
		LengthBefore: int(h.LengthBefore),
		LengthAfter:  int(h.LengthAfter),
		Before:       append([]byte(nil), h.Before[:min(int(h.LengthBefore), len(h.Before))]...),
		After:        append([]byte(nil), h.After[:min(int(h.LengthAfter), len(h.After))]...),
	}
}

// readRing hands the records of a ring to handle until ctx ends; without follow, until no more are waiting.
func readRing(ctx context.Context, ring *ebpf.Map, follow bool, handle func(raw []byte) error) error {
	reader, err := ringbuf.NewReader(ring)
	if err != nil {
		return fmt.Errorf("read hops: %w", err)
	}
	defer reader.Close()
	stop := context.AfterFunc(ctx, func() { reader.Close() })
	defer stop()
	if !follow {
		reader.SetDeadline(time.Now())
	}
	var record ringbuf.Record
	for {
		err := reader.ReadInto(&record)
		if errors.Is(err, ringbuf.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read hops: %w", err)
		}
		if err := handle(record.RawSample); err != nil {
			return err
		}
	}
}
