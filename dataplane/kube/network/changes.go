package network

import (
	"context"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
)

// gather is for how long changes are gathered into one: a device that is made anew causes dozens.
const gather = 10 * time.Millisecond

// Changes tells when devices, addresses, routes or neighbours have changed, several changes at once, until ctx ends. The channel is
// closed if the kernel's messages were lost, such as when there were too many: then look at everything, and call it again.
func Changes(ctx context.Context) (<-chan struct{}, error) {
	ctx, stop := context.WithCancel(ctx)
	changed := make(chan struct{}, 1)
	some, lost := make(chan struct{}, 1), make(chan struct{}, 1)
	for _, subscribe := range []func() error{
		func() error { return watch(ctx, "devices", netlink.LinkSubscribe, some, lost) },
		func() error { return watch(ctx, "addresses", netlink.AddrSubscribe, some, lost) },
		func() error { return watch(ctx, "routes", netlink.RouteSubscribe, some, lost) },
		func() error { return watch(ctx, "neighbours", netlink.NeighSubscribe, some, lost) },
	} {
		if err := subscribe(); err != nil {
			stop()
			return nil, err
		}
	}
	go func() {
		defer close(changed)
		defer stop()
		for {
			select {
			case <-lost:
				return
			case <-some:
			}
			time.Sleep(gather)
			signal(changed)
		}
	}()
	return changed, nil
}

// watch signals each message of a subscription, and that it has ended.
func watch[T any](ctx context.Context, what string, subscribe func(chan<- T, <-chan struct{}) error, each, ended chan<- struct{}) error {
	updates := make(chan T, 64)
	if err := subscribe(updates, ctx.Done()); err != nil {
		return fmt.Errorf("watch %s: %w", what, err)
	}
	go func() {
		for range updates {
			signal(each)
		}
		signal(ended)
	}()
	return nil
}

// signal tells what is not told yet.
func signal(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}
