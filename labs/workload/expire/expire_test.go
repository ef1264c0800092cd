package expire

import (
	"context"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// account is the folder of a service account that trusts the server.
func account(t *testing.T, server *httptest.Server) string {
	t.Helper()
	folder := t.TempDir()
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	require.NoError(t, os.WriteFile(filepath.Join(folder, "ca.crt"), certificate, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "token"), []byte("one\n"), 0o600))
	return folder
}

// It tries until the API server takes the request, with the token that is there then.
func TestRun(t *testing.T) {
	for name, c := range map[string]struct {
		answers  []int
		failures int
	}{
		"taken":                   {[]int{http.StatusOK}, 0},
		"accepted":                {[]int{http.StatusAccepted}, 0},
		"not there":               {[]int{http.StatusNotFound}, 0},
		"being deleted":           {[]int{http.StatusConflict}, 0},
		"after an expired token":  {[]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusOK}, 2},
		"after a busy API server": {[]int{http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusOK}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var folder string
			var tokens []string
			answers := c.answers
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, http.MethodDelete, r.Method)
				assert.Equal(t, "/api/v1/namespaces/dsrlab-assess-x", r.URL.Path)
				tokens = append(tokens, r.Header.Get("Authorization"))
				w.WriteHeader(answers[0])
				answers = answers[1:]
				assert.NoError(t, os.WriteFile(filepath.Join(folder, "token"), []byte("two\n"), 0o600))
			}))
			defer server.Close()
			folder = account(t, server)
			failures := 0
			err := Run(t.Context(), Options{Server: server.URL, Namespace: "dsrlab-assess-x", ServiceAccount: folder, After: time.Millisecond, Retry: time.Millisecond},
				func(error) { failures++ })
			require.NoError(t, err)
			assert.Empty(t, answers)
			assert.Equal(t, c.failures, failures)
			assert.Equal(t, "Bearer one", tokens[0])
			if len(tokens) > 1 {
				assert.Equal(t, "Bearer two", tokens[1])
			}
		})
	}
}

// Nothing is deleted before the time, and who does not have the API server's certificate is told nothing.
func TestRunDeletesNothing(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was called") }))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := Options{Server: server.URL, Namespace: "x", ServiceAccount: account(t, server), After: time.Hour}
	require.ErrorIs(t, Run(ctx, o, func(error) {}), context.Canceled)

	other := httptest.NewTLSServer(http.NotFoundHandler())
	defer other.Close()
	o.After = 0
	require.NoError(t, os.WriteFile(filepath.Join(o.ServiceAccount, "ca.crt"), []byte("none"), 0o600))
	ctx, cancel = context.WithCancel(t.Context())
	require.ErrorIs(t, Run(ctx, o, func(err error) {
		assert.EqualError(t, err, "delete namespace x: ca.crt: found no certificate")
		cancel()
	}), context.Canceled)
}

func TestInCluster(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "443")
	assert.Equal(t, "https://[fd00::1]:443", InCluster())
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	assert.Empty(t, InCluster())
}
