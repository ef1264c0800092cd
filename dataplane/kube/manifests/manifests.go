// Package manifests holds the objects that bring the node agent onto a cluster, as `kubectl apply -k` takes them.
package manifests

import "embed"

// Files are the kustomization and what it names.
//
//go:embed *.yaml
var Files embed.FS
