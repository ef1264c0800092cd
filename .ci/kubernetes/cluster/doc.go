// Package cluster tests dsrlab on a real Kubernetes cluster: etcd, API server, controllers, and on each node kubelet, containerd and
// kube-proxy or dsrd. Its nodes are network namespaces of a topology, so it needs no image that others have made, and no virtual machine.
package cluster
