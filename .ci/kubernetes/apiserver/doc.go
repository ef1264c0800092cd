// Package apiserver tests the node agent, and dsrlab assess, against a real API server and etcd, both in the test's process. It is a
// module of its own, as they bring hundreds of packages that the product has no use for.
package apiserver
