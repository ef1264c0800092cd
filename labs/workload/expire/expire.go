// Package expire deletes a Kubernetes namespace from within a pod, after a time, however the one who made it has ended. It speaks to the
// API server without its client library, which would double the program's size.
package expire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Options say what is deleted, and when.
type Options struct {
	// Server is the API server, as in https://10.96.0.1:443.
	Server string
	// Namespace is deleted with all that is in it.
	Namespace string
	// After is how long Run waits before, from its call: in a pod that is restarted, from its last start.
	After time.Duration
	// ServiceAccount is a folder with the files token and ca.crt. They are read for each try: tokens are replaced before they expire.
	ServiceAccount string
	// Retry is how long after a try that failed the next one is made (default 5 s).
	Retry time.Duration
}

// InCluster is the API server that a pod's environment names; an empty string outside of a pod.
func InCluster() string {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return ""
	}
	return "https://" + net.JoinHostPort(host, port)
}

// Run waits and deletes. It tries until the API server has taken the request, or the namespace is not there, or ctx ends; onFailure is called with why a try failed.
func Run(ctx context.Context, o Options, onFailure func(error)) error {
	if o.Retry <= 0 {
		o.Retry = 5 * time.Second
	}
	for wait := o.After; ; wait = o.Retry {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
		err := o.delete(ctx)
		if err == nil {
			return nil
		}
		onFailure(fmt.Errorf("delete namespace %s: %w", o.Namespace, err))
	}
}

func (o *Options) delete(ctx context.Context) error {
	token, err := os.ReadFile(filepath.Join(o.ServiceAccount, "token"))
	if err != nil {
		return err
	}
	authority, err := os.ReadFile(filepath.Join(o.ServiceAccount, "ca.crt"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return errors.New("ca.crt: found no certificate")
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	at := o.Server + "/api/v1/namespaces/" + url.PathEscape(o.Namespace)
	request, err := http.NewRequestWithContext(ctx, http.MethodDelete, at, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
	}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	const most = 1 << 10
	text, _ := io.ReadAll(io.LimitReader(response.Body, most))
	switch code := response.StatusCode; {
	case code < 300, code == http.StatusNotFound, code == http.StatusConflict: // Conflict: it is being deleted
		return nil
	}
	return fmt.Errorf("the API server says %s: %s", response.Status, strings.TrimSpace(string(text)))
}
