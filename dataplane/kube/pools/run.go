package pools

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
)

// LeaseName is that of the Lease whose holder gives out addresses.
const LeaseName = "dsrd-pools"

// Options of Run.
type Options struct {
	Client kubernetes.Interface
	// Identity is the name of the node.
	Identity string
	// Namespace has the Lease.
	Namespace string
	Pools     []Pool
	Log       *slog.Logger
	// Lease is for how long after its last word the elected agent keeps others waiting (default a minute: while nobody is elected
	// new services wait, and nothing else). Agents look a sixth as often.
	Lease time.Duration
}

// Run writes into the status of services which addresses they get, whenever this is the one of all agents that is elected to do so,
// until ctx ends; then another can be elected at once. It needs the rights of manifests/pools.
func Run(ctx context.Context, o Options) error {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Lease == 0 {
		o.Lease = time.Minute
	}
	// Events go on while ctx ends, and so does the election until nothing is being written any more.
	after := context.WithoutCancel(ctx)
	events := record.NewBroadcaster(record.WithContext(after))
	defer events.Shutdown()
	events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: o.Client.CoreV1().Events("")})
	recorder := events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "dsrd", Host: o.Identity})
	electing, release := context.WithCancel(after)
	defer release()
	var writing sync.Mutex
	stop := context.AfterFunc(ctx, func() {
		writing.Lock()
		defer writing.Unlock()
		release()
	})
	defer stop()
	config := leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: LeaseName}, Client: o.Client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: o.Identity},
		},
		Name: LeaseName, LeaseDuration: o.Lease, RenewDeadline: o.Lease * 2 / 3, RetryPeriod: o.Lease / 6, ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) {
				o.Log.Info("elected to give out addresses")
				w := &writer{options: o, recorder: recorder, writing: &writing, ended: ctx.Done()}
				w.run(leading)
			},
			OnStoppedLeading: func() {},
		},
	}
	elector, err := leaderelection.NewLeaderElector(config)
	if err != nil {
		return fmt.Errorf("elect who gives out addresses: %w", err)
	}
	for ctx.Err() == nil {
		elector.Run(electing) // ends when the Lease is lost, too
	}
	return nil
}
