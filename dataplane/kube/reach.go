package kube

import (
	"log/slog"
	"net/http"
	"sync/atomic"
)

// LogReach logs when the API server can't be reached any more, and when it can again; informers say neither. It is for
// rest.Config.Wrap.
func LogReach(log *slog.Logger) func(http.RoundTripper) http.RoundTripper {
	lost := new(atomic.Bool)
	return func(next http.RoundTripper) http.RoundTripper { return reach{next, log, lost} }
}

type reach struct {
	next http.RoundTripper
	log  *slog.Logger
	lost *atomic.Bool
}

func (r reach) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := r.next.RoundTrip(request)
	switch {
	case err != nil && request.Context().Err() == nil && !r.lost.Swap(true):
		r.log.Warn("the API server can't be reached: the data path goes on as it is", "error", err)
	case err == nil && r.lost.Swap(false):
		r.log.Info("the API server can be reached again")
	}
	return response, err
}
